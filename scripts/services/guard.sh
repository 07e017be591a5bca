# `run`: a stack that goes down with its caller. Sourced by scripts/stack.
#
# The guard is a process in a session of its own that reads a pipe whose only writer is the script. However the script
# ends, by SIGKILL too, the pipe closes; the guard then ends the command and the servers and removes the folder. It also
# looks whether the script's parent is alive, for a parent that is killed does not close that pipe.

# run_stack SERVICES… -- COMMAND…: the exit code is COMMAND's.
run_stack() {
    local names=() guard code=0
    while [ "$1" != -- ]; do
        names+=("$1")
        shift
    done
    shift
    begin_stack run
    start_guard
    if start_all "${names[@]}"; then
        exec 9>&-
        run_command "$@" || code=$?
    else
        code=1
    fi
    exec 8>&-
    wait "$guard" 2>/dev/null || true
    tear_down "$dir" # nothing is left of it, unless the guard was killed
    return "$code"
}

# In the foreground, with the terminal: a command that needs one gets it, and a Ctrl-C reaches it.
run_command() {
    local line
    while IFS= read -r line; do export "${line?}"; done < <(environment)
    export HOOKFLOW_STACK_RUN=$dir
    # shellcheck disable=SC2016 # expanded by the inner shell
    bash -c 'echo "$$ $PPID" > "$HOOKFLOW_STACK_DIR/command"; exec "$@"' stack "$@" 8>&- 9>&-
}

start_guard() {
    identity "$PPID" > "$dir/parent"
    exec 8> >(exec 9>&-; exec env -u HOOKFLOW_STACK_RUN setsid "$services/../stack" --dir "$dir" guard < /dev/stdin > /dev/null 2> "$dir/guard.log")
    guard=$!
}

guard_stack() {
    local line status
    trap '' HUP INT TERM
    while true; do
        status=0
        read -r -t 0.5 line || status=$?
        ((status > 128)) || break # above 128 it was the timeout
        pid_in "$dir/parent" >/dev/null || break
    done
    : > "$dir/closing"
    pid_in "$dir/parent" >/dev/null || end_process "$dir/owner"
    end_command
    tear_down "$dir"
}

end_process() {
    local pid
    if pid=$(pid_in "$1"); then kill -KILL "$pid" 2>/dev/null || true; fi
}

# end_command: what the command started carries this stack's mark in its environment, whoever its parent is now.
end_command() {
    local pids attempt
    for attempt in {1..50}; do
        mapfile -t pids < <(marked)
        ((${#pids[@]})) || return 0
        kill -KILL "${pids[@]}" 2>/dev/null || true
        sleep 0.02
    done
    say "processes of the command are left: ${pids[*]} ($attempt attempts)"
}

marked() {
    { grep -lszxF "HOOKFLOW_STACK_RUN=$dir" /proc/[0-9]*/environ || true; } | while IFS=/ read -r _ _ pid _; do
        if start_time "$pid" >/dev/null; then printf '%s\n' "$pid"; fi
    done
}
