# One server's life: start, stop, kill, pause, resume, forget. Sourced by scripts/stack.
#
# DIR/NAME holds: pid (see process.sh), ports, environment (once it was ready), log, log.old, data, and `stopped` while
# it is down on purpose. Each service's own file says how it is installed, prepared, run, asked and swept.

running() { pid_in "$dir/$1/pid" >/dev/null; }

# start_service NAME: on the ports and data it had before, if it ran before. A port that somebody else took in the
# meantime is a reason to try again: with another one if nobody knows the first yet.
start_service() {
    local name=$1 folder=$dir/$1 attempt
    ! running "$name" || return 0
    mkdir -p "$folder"
    rm -f "$folder/stopped"
    "${name}_prepare" "$folder"
    for attempt in 1 2 3 4 5; do
        [ ! -e "$dir/closing" ] || return 1
        if launch_service "$name"; then return 0; fi
        grep -qiE 'address already in use|could not bind|failed to bind' "$folder/log" || break
        [ -e "$folder/environment" ] || rm -f "$folder/ports"
        sleep 0.2
    done
    say "$name did not start (attempt $attempt); the end of $folder/log:"
    grep -v '^[[:space:]]*at ' "$folder/log" | tail -n 20 >&2
    return 1
}

launch_service() {
    local name=$1 folder=$dir/$1 ports command child
    [ -e "$folder/ports" ] || choose_ports "$name" > "$folder/ports"
    read -ra ports < "$folder/ports"
    "${name}_command" "$folder" "${ports[@]}"
    [ ! -e "$folder/log" ] || mv "$folder/log" "$folder/log.old"
    rm -f "$folder/pid"
    # A session of its own: a Ctrl-C at the terminal is not for the servers.
    (cd "$folder" && exec setsid "$services/launch" "$folder" "${command[@]}" < /dev/null > log 2>&1) &
    child=$!
    if wait_ready "$name" "$child" "${ports[@]}"; then
        "${name}_environment" "$folder" "${ports[@]}" > "$folder/environment.new"
        mv "$folder/environment.new" "$folder/environment"
        return 0
    fi
    kill_tree "$child" || true
    wait "$child" 2>/dev/null || true
    return 1
}

choose_ports() {
    local number=$((${1}_ports)) ports=()
    while ((number--)); do ports+=("$(free_port)"); done
    printf '%s\n' "${ports[*]}"
}

# wait_ready NAME CHILD PORT…: false when it ended, or is not ready in time.
wait_ready() {
    local name=$1 child=$2 deadline=$((SECONDS + ${STACK_TIMEOUT:-60}))
    shift 2
    until "${name}_ready" "$dir/$name" "$@"; do
        start_time "$child" >/dev/null || return 1
        if ((SECONDS >= deadline)); then
            say "$name is not ready after ${STACK_TIMEOUT:-60} s"
            return 1
        fi
        sleep 0.05
    done
}

# start_services NAME…: side by side; false when one of them failed.
start_services() {
    local name children=() child failed=0
    for name; do
        begin_service "$name" 8>&- 9>&- &
        children+=("$!")
    done
    for child in "${children[@]}"; do wait "$child" || failed=1; done
    return "$failed"
}

# begin_service NAME: start_service, in a process that tear_down knows of.
begin_service() {
    identity "$BASHPID" > "$dir/starting-$1"
    start_service "$1"
}

# server_pid NAME: of a server that must be running.
server_pid() { pid_in "$dir/$1/pid" || die "$1 is not running"; }

# stop_service NAME: the way its operator would stop it; false when it had to be killed after a minute.
stop_service() {
    local name=$1 signal=${1}_stop_signal pid
    pid=$(pid_in "$dir/$name/pid") || return 0
    : > "$dir/$name/stopped"
    kill "-${!signal}" "$pid"
    gone 60 "$pid" && return 0
    kill_tree "$pid" || true
    die "$name did not stop within 60 s, so it was killed"
}

kill_service() {
    local pid
    pid=$(server_pid "$1")
    : > "$dir/$1/stopped"
    kill_tree "$pid" || die "$1 is still there after SIGKILL"
}

pause_service() {
    local pid
    pid=$(server_pid "$1")
    freeze "$pid"
}

resume_service() {
    local pid
    pid=$(server_pid "$1")
    signal_tree CONT "$pid"
}

# abandon_service FOLDER: its data is of no use any more, so it ends the quickest way that leaves nothing behind.
abandon_service() {
    local folder=$1 name=${1##*/} signal pid
    signal=${name}_abandon_signal
    if pid=$(pid_in "$folder/pid"); then
        signal_tree CONT "$pid"
        if [ "${!signal}" != KILL ]; then
            kill "-${!signal}" "$pid" 2>/dev/null || true
            gone 5 "$pid" || true
        fi
        kill_tree "$pid" || true
    fi
    "${name}_sweep" "$folder"
}

# tear_down DIR: ends every server of a stack and removes its folder.
tear_down() {
    local stack=$1 name pid
    [ -d "$stack" ] || return 0
    : > "$stack/closing"
    if [ -e "$stack/project" ]; then docker_tear_down "$stack"; fi
    for name in "${all_services[@]}"; do
        if pid=$(pid_in "$stack/starting-$name"); then kill_tree "$pid" || true; fi
    done
    for name in "${all_services[@]}"; do
        if [ -d "$stack/$name" ]; then abandon_service "$stack/$name" & fi
    done
    wait
    rm -rf "$stack"
}
