# A stack's folder: who owns it, its lock, its environment, and the sweep of those nobody lives in. Sourced by scripts/stack.
#
# DIR holds: kind (up or run), engine (native or docker), boot and owner (who made it, and when), lock, closing (it is
# being taken down), fast and tls (settings that outlive the call), and a folder for each server (see lifecycle.sh).

# The default folder: the same for every call from this checkout, another for every other.
default_dir() {
    printf '%s/hookflow-stack-%s-%s\n' "$scratch_root" "$(id -u)" "$(cksum <<< "$checkout" | cut -d' ' -f1)"
}

# begin_stack KIND: makes the folder and takes its lock (file descriptor 9).
begin_stack() {
    refuse_foreign
    while true; do
        mkdir -p "$dir"
        chmod 755 "$dir" # the servers may run as another user
        exec 9> "$dir/lock"
        flock 9
        # Whoever held the lock may have removed the folder, or have been killed while it did.
        [ "$dir/lock" -ef "/proc/$$/fd/9" ] || continue
        [ -e "$dir/closing" ] || break
        tear_down "$dir"
    done
    if [ -e "$dir/owner" ] && ! same_boot "$dir"; then forget_servers; fi
    printf '%s\n' "$1" > "$dir/kind"
    cat /proc/sys/kernel/random/boot_id > "$dir/boot"
    identity "$$" > "$dir/owner"
    if [ "${STACK_FAST:-}" = 1 ]; then : > "$dir/fast"; fi
    if [ "${STACK_TLS:-}" = 1 ] && [ ! -d "$dir/tls" ]; then make_certificates "$dir/tls"; fi
}

# refuse_foreign: what is taken down is removed, so a folder with something else in it is not used.
refuse_foreign() {
    [ -e "$dir" ] || return 0
    if [ ! -d "$dir" ] || [ -L "$dir" ] || [ ! -O "$dir" ]; then die "$dir is not a folder of this user"; fi
    [ -e "$dir/kind" ] || [ -z "$(find "$dir" -mindepth 1 -maxdepth 1 ! -name lock)" ] ||
        die "$dir holds something that is not a stack: name another folder"
}

# lock_stack: for commands on a stack that is there.
lock_stack() {
    [ -e "$dir/owner" ] || die "no stack is up in $dir: start one with scripts/stack up"
    exec 9> "$dir/lock"
    flock 9
}

# Not by cmp: it trusts the size, and files of /proc have none.
same_boot() { [ "$(cat "$1/boot" 2>/dev/null)" = "$(cat /proc/sys/kernel/random/boot_id)" ]; }

# forget_servers: the machine was restarted since; scratch data does not outlive that.
forget_servers() {
    local name
    for name in "${all_services[@]}"; do rm -rf "${dir:?}/$name"; done
}

# sweep: removes stacks that nobody lives in any more.
sweep() {
    local other
    for other in "$scratch_root"/hookflow-stack-*/; do
        other=${other%/}
        if [ "$other" != "$dir" ] && [ -O "$other" ] && abandoned "$other"; then tear_down "$other"; fi
    done
}

# abandoned DIR: nobody works on it (its lock is free), its servers are dead, and not on purpose. What is younger than a
# minute may be about to begin.
abandoned() {
    local stack=$1 name
    [ -e "$stack/owner" ] || [ -n "$(find "$stack" -maxdepth 0 -mmin +1)" ] || return 1
    if [ -e "$stack/lock" ] && ! flock -n "$stack/lock" true; then return 1; fi
    if [ ! -e "$stack/boot" ] || ! same_boot "$stack"; then return 0; fi
    if [ "$(cat "$stack/kind")" = run ]; then
        if pid_in "$stack/owner" >/dev/null; then return 1; else return 0; fi
    fi
    [ ! -e "$stack/project" ] || return 1 # Docker's; it cannot be seen from here
    for name in "${all_services[@]}"; do
        if [ -e "$stack/$name/stopped" ] || pid_in "$stack/$name/pid" >/dev/null; then return 1; fi
    done
}

environment() {
    echo "HOOKFLOW_STACK_DIR=$dir"
    if [ -d "$dir/tls" ]; then tls_environment "$dir/tls"; fi
    cat "$dir"/*/environment
}

print_environment() { environment | sed "s/^\([A-Z_]*\)=\(.*\)/export \1='\2'/"; }
