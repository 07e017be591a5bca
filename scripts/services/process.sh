# Processes: who one is, whether it lives, and signals to a whole server. Sourced by scripts/stack; needs Linux's /proc.
#
# A server's folder holds `pid`, a line "PID START" written by the server's own process (see launch). Pid and start time
# together name one process for good: a pid that was given to another program is never signalled.

# start_time PID: clock ticks since boot; fails when the process is gone or only a zombie. (A zombie with other threads is
# still ending: it holds its ports and files.)
start_time() {
    local stat fields
    { IFS= read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra fields <<< "${stat##*) }"
    case ${fields[0]} in Z | X) ((fields[17] > 1)) || return 1 ;; esac
    printf '%s\n' "${fields[19]}"
}

# state PID: its letter in /proc, T when it is stopped.
state() {
    local stat
    { IFS= read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    printf '%s\n' "${stat%% *}"
}

# identity PID: the line that names this process.
identity() {
    local start
    start=$(start_time "$1") && printf '%s %s\n' "$1" "$start"
}

# pid_in FILE: the pid that FILE names, if that very process is alive.
pid_in() {
    local pid start
    { read -r pid start < "$1"; } 2>/dev/null || return 1
    [ "$(start_time "$pid")" = "$start" ] && printf '%s\n' "$pid"
}

# tree PID: the process and all its descendants, parents first.
tree() {
    { grep -s '^PPid:' /proc/[0-9]*/status || true; } | awk -F '[/:\t ]+' -v root="$1" '
        { children[$6] = children[$6] " " $3 }
        function walk(pid,   i, n, list) { print pid; n = split(children[pid], list, " "); for (i = 1; i <= n; i++) walk(list[i]) }
        END { walk(root) }'
}

# signal_tree SIGNAL PID: Postgres gives every backend a process group of its own, so a group would miss them.
signal_tree() {
    local pids
    mapfile -t pids < <(tree "$2")
    kill "-$1" "${pids[@]}" 2>/dev/null || true
}

# freeze PID: stops the whole tree; twice, because a child may be born between the list and the signal.
freeze() {
    kill -STOP "$1"
    signal_tree STOP "$1"
    signal_tree STOP "$1"
}

# gone PID… within DEADLINE seconds: gone DEADLINE PID…
gone() {
    local end=$((SECONDS + $1)) pid
    shift
    for pid; do
        while start_time "$pid" >/dev/null; do
            ((SECONDS <= end)) || return 1
            sleep 0.02
        done
    done
}

# kill_tree PID: SIGKILL for all of it, back when all of it is gone.
kill_tree() {
    local pids
    kill -STOP "$1" 2>/dev/null || return 0
    mapfile -t pids < <(tree "$1")
    kill -KILL "${pids[@]}" 2>/dev/null || true
    gone 10 "${pids[@]}"
}
