# Ports on 127.0.0.1 and the smallest requests over them. Sourced by scripts/stack.

# answers PORT: somebody accepts connections there.
answers() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: one that nobody listens on, below the range that outgoing connections and port 0 are given from, so that a
# server that was killed finds its port free when it comes back. Somebody may still be quicker: start_service tries again.
free_port() {
    local port
    while true; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        answers "$port" || break
    done
    printf '%s\n' "$port"
}

# first_line PORT [REQUEST]: sends REQUEST (printf escapes) and prints the last line of the answer's first 20 that is not empty.
ask() {
    local port=$1 request=${2:-}
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 2 bash -c 'exec 3<> "/dev/tcp/127.0.0.1/$1" && printf "$2" >&3 && head -n 20 <&3' ask "$port" "$request" 2>/dev/null
}

# listens PID PORT: this very process listens there, not a stranger who was quicker.
listens() {
    local inode
    inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf ':%04X' "$2")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }')
    [ -n "$inode" ] && [ -n "$(find "/proc/$1/fd" -lname "socket:\[$inode\]" 2>/dev/null)" ]
}
