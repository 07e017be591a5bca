# What demo and bench-stack share: the program, its settings for a stack's servers, one job and its metrics. Sourced by both.
#
# Both run themselves inside of `scripts/stack run`, which takes down whatever they started, however they end.

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

step() { printf '\n== %s\n' "$*" >&2; }

needs() {
    local program
    for program; do command -v "$program" >/dev/null || die "$program is missing: install it"; done
}

# whole NUMBER WHAT: digits may be grouped; printed without.
whole() {
    local number=${1//[_,]/}
    [[ $number =~ ^[1-9][0-9]{0,11}$ ]] || die "$2: a whole number from 1 up, not '$1'"
    printf '%s\n' "$number"
}

grouped() { printf '%s\n' "$1" | sed -e :a -e 's/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/;ta'; }

# build_program: sets `program`. HOOKFLOW_STACK_PROGRAM names one that is built already.
build_program() {
    program=${HOOKFLOW_STACK_PROGRAM:-}
    [ -z "$program" ] || return 0
    needs cargo
    step "building hookflow (release)"
    cargo build --locked --release --bin hookflow
    program=${CARGO_TARGET_DIR:-target}/release/hookflow
    HOOKFLOW_STACK_PROGRAM=$(realpath "$program")
    export HOOKFLOW_STACK_PROGRAM
}

# broker_settings BROKER: what a job reads, as the environment says it. Variables of the stack that are no settings go.
broker_settings() {
    case $1 in
        nats) export HOOKFLOW_SOURCE_LIVE=nats ;;
        kafka)
            "$program" config | grep -q '^\[kafka\]' || die "this hookflow cannot read Kafka yet"
            export HOOKFLOW_SOURCE_LIVE=kafka
            ;;
        *) die "the brokers are nats and kafka, not '$1'" ;;
    esac
    export HOOKFLOW_STORE_STATE=postgres HOOKFLOW_STORE_LOG=clickhouse HOOKFLOW_POSTGRES_TLS=off
    unset HOOKFLOW_CONFIG
}

# own_names SUFFIX: tables of its own for one run.
own_names() {
    export HOOKFLOW_POSTGRES_SCHEMA=hookflow_$1 HOOKFLOW_CLICKHOUSE_DATABASE=hookflow_$1
}

# own_reader SUFFIX: its own place in the stream, which begins at the stream's beginning.
own_reader() {
    case $HOOKFLOW_SOURCE_LIVE in
        nats) export HOOKFLOW_NATS_CONSUMER=reader-$1 ;;
        kafka) export HOOKFLOW_KAFKA_GROUP=reader-$1 ;;
    esac
}

# publish FILE… [OPTION…]: prints nothing but trouble.
publish() { "$program" publish "$@" >/dev/null; }

# start_job ARGUMENT…: runs `hookflow run live` in the background; sets `job`. Its summary goes to $scratch/summary.
start_job() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<> "/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    metrics=127.0.0.1:$port
    rm -rf "$scratch/store"
    "$program" run live --metrics "$metrics" --store "$scratch/store" "$@" > "$scratch/summary" &
    job=$!
}

# metric NAME: its value (the first of them, where there are labels); 0 while there is none.
metric() {
    local value
    value=$(curl -s "http://$metrics/metrics" | awk -v name="$1" '$1 == name || index($1, name "{") == 1 { print $NF; exit }') || true
    printf '%s\n' "${value:-0}"
}

# await NAME COUNT: until a metric of the job has reached COUNT; fails when the job ends first. A look costs some 15 ms of CPU,
# on the cores that are measured: not more than a few a second.
await() {
    until [ "$(metric "$1")" -ge "$2" ]; do
        kill -0 "$job" 2>/dev/null || die "the job ended before $1 reached $2"
        sleep 0.4
    done
}

# stop_job: as an operator would; its exit code.
stop_job() {
    kill -TERM "$job"
    wait "$job"
}

# clickhouse QUERY: the answer.
clickhouse() { curl -sS --fail-with-body "$HOOKFLOW_CLICKHOUSE_URL/?database=$HOOKFLOW_CLICKHOUSE_DATABASE" --data-binary "$1"; }

# postgres QUERY: the answer; fails where there is no psql.
postgres() {
    local psql
    psql=$(command -v psql || printf '%s\n' /usr/lib/postgresql/*/bin/psql | sort -rV | head -n 1)
    [ -x "$psql" ] || return 1
    "$psql" -qtAX -v ON_ERROR_STOP=1 "$HOOKFLOW_POSTGRES_URL" -c "SET search_path = $HOOKFLOW_POSTGRES_SCHEMA" -c "$1"
}
