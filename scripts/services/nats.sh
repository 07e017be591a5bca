# NATS server 2.10 or newer, with JetStream. Sourced by scripts/stack.

nats_ports=1
nats_stop_signal=TERM
nats_abandon_signal=KILL

# nats_program: the one that is named, the cache's, or an installed one that is new enough.
nats_program() {
    local program
    for program in ${STACK_NATS_SERVER:+"$STACK_NATS_SERVER"} "$cache/nats-2.10/nats-server" "$(command -v nats-server)"; do
        if [ -x "$program" ] && "$program" --version | grep -Eq 'v(2\.[1-9][0-9]|[3-9])'; then
            printf '%s\n' "$program"
            return
        fi
    done
    return 1
}

# Debian 12's own package is too old, so a machine that can unpack the newer one, or build it, needs nothing.
nats_missing() {
    [ -n "$(nats_program)" ] || debian_archive >/dev/null || has go || echo "nats-server (2.10 or newer)"
}

# The newest version that tests run with, beside the oldest.
nats_newest=2.15.3

nats_newest_program() {
    local program=${STACK_NATS_SERVER_NEWEST:-$cache/nats-$nats_newest/nats-server}
    [ -x "$program" ] && printf '%s\n' "$program"
}

# nats_install_newest: from the Go proxy. Tests that want it are skipped, and say so, where it cannot be had.
nats_install_newest() {
    local folder=$cache/nats-$nats_newest work
    ! nats_newest_program >/dev/null || return 0
    if ! has go; then
        say "no Go here, so no nats-server $nats_newest: tests with the newest server are skipped"
        return 0
    fi
    say "building nats-server $nats_newest"
    work=$(mktemp -d)
    if (GOBIN=$work quietly timeout 600 go install "github.com/nats-io/nats-server/v2@v$nats_newest"); then
        mkdir -p "$folder"
        mv "$work/nats-server" "$folder/nats-server"
    else
        say "nats-server $nats_newest cannot be built: tests with the newest server are skipped"
    fi
    rm -rf "$work"
}

nats_install() {
    local folder=$cache/nats-2.10 work
    nats_install_newest
    ! nats_program >/dev/null || return 0
    say "fetching nats-server 2.10.27"
    work=$(mktemp -d)
    if debian_archive >/dev/null; then
        unpack_debian trixie nats-server "$work"
    else
        GOBIN=$work quietly go install github.com/nats-io/nats-server/v2@v2.10.27
    fi
    mkdir -p "$folder"
    find "$work" -name nats-server -type f -perm -u+x -exec mv {} "$folder/nats-server" \;
    rm -rf "$work"
    nats_program >/dev/null || die "the nats-server that was fetched does not run"
}

nats_prepare() { :; }

nats_command() {
    local folder=$1 port=$2
    command=("$(nats_program)" -a 127.0.0.1 -p "$port" -js -sd "$folder/data")
}

nats_ready() {
    local folder=$1 port=$2 pid
    pid=$(pid_in "$folder/pid") && listens "$pid" "$port" && nats_answer "$port" | grep -q '"jetstream":true'
}

# nats_answer PORT: the server greets every connection.
nats_answer() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 2 bash -c 'exec 3<> "/dev/tcp/127.0.0.1/$1" && IFS= read -r line <&3 && printf "%s\n" "$line"' nats "$1" 2>/dev/null
}

# Tests of logins and of crashes start servers of their own with the same program.
nats_environment() {
    local program
    echo "HOOKFLOW_NATS_URL=nats://127.0.0.1:$2"
    if program=$(nats_program); then echo "HOOKFLOW_TEST_NATS_SERVER=$program"; fi
    if program=$(nats_newest_program); then echo "HOOKFLOW_TEST_NATS_SERVER_NEWEST=$program"; fi
}

nats_sweep() { :; }
