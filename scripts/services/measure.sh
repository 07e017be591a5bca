# What bench-stack measures, and how it prints it. Sourced by it, after job.sh.

# build_statements: sets `statement_loop`, the benchmark of the state store.
build_statements() {
    statement_loop=${HOOKFLOW_STACK_STATEMENTS:-}
    if [ -n "$statement_loop" ] || [ -z "$statements" ] || [ -n "$rate" ]; then return 0; fi
    step "building the statement loop"
    local line
    line=$(cargo bench --locked --no-run --bench state_postgres 2>&1 | tee /dev/stderr | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
    [ -n "$line" ] || die "cargo does not say where benches/state_postgres.rs was built"
    statement_loop=$(realpath "$line")
    export HOOKFLOW_STACK_STATEMENTS=$statement_loop
}

ticks=$(getconf CLK_TCK)

# find_servers BROKER: the process of each server.
find_servers() {
    local status
    status=$(scripts/stack status)
    server_of() { awk -v name="$1" '$1 == name { gsub(",", "", $4); print $4 }' <<< "$status"; }
    servers=("$(server_of postgres)" "$(server_of clickhouse)" "$(server_of "$1")")
    titles=(postgres clickhouse "$1")
}

# cpu PID: seconds of CPU that the process and all its descendants have used, ended ones too.
cpu() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$1" -v ticks="$ticks" '
        { pid = $1; sub(/^.*\) /, ""); parent[pid] = $2; own[pid] = $12 + $13; ended[pid] = $14 + $15 }
        END {
            sum = own[root]
            for (pid in parent) {
                up = pid
                while (up in parent && up != root) up = parent[up]
                if (up != root) continue
                sum += ended[pid] + (pid == root ? 0 : own[pid])
            }
            printf "%.2f\n", sum / ticks
        }'
}

# cpu_all: of the job and each server, in one line.
cpu_all() { printf '%s ' "$(cpu "$job")" "$(cpu "${servers[0]}")" "$(cpu "${servers[1]}")" "$(cpu "${servers[2]}")"; }

# memory FIELD: VmRSS or VmHWM of the job, in MiB.
memory() { awk -v field="$1:" '$1 == field { printf "%d\n", $2 / 1024 }' "/proc/$job/status"; }

now() { date +%s.%N; }

# preload_ledger FOLDER COUNT: keys of the month that ends with the hour of the folder's first event.
preload_ledger() {
    local first hour
    first=$(sed -n 's/.*"received_at":"\([^"]*\)".*/\1/p;T;q' "$1/deliveries.jsonl")
    hour=$(($(date -u -d "$first" +%s) / 3600))
    step "a ledger of $(grouped "$2") keys"
    postgres "INSERT INTO ledger (bucket, identity)
        SELECT $hour - 719 + (n * 720 / $2)::integer, gen_random_uuid() FROM generate_series(0, $2::bigint - 1) AS n" ||
        die "the ledger could not be filled: --preload needs psql"
    postgres "VACUUM ANALYZE ledger" && postgres CHECKPOINT
    ledger_size
}

# ledger_size: how large the keys are with their index.
ledger_size() {
    postgres "SELECT sum(reltuples)::bigint || ' keys, ' || round(sum(pg_table_size(c.oid)) / sum(reltuples)::numeric, 1) || ' bytes each, and '
        || round(sum(pg_indexes_size(c.oid)) / sum(reltuples)::numeric, 1) || ' in the index'
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'ledger'::regclass AND reltuples > 0" >&2
}

row='%-6s %10s  %6s %9s %11s %7s  %11s  %12s\n'

table_head() {
    results=$scratch/results
    : > "$results"
    printf '\n%s; %s messages, %s recipients, %s keys in the ledger beforehand; CPU in µs a message\n' "$(uname -m), $(nproc) cores" \
        "$(grouped "$messages")" "$(grouped "$recipients")" "$(grouped "$preload")"
    printf 'Postgres: %s\n' "${STACK_POSTGRES_OPTIONS:-as it comes}"
    if [ "$HOOKFLOW_SOURCE_LIVE" = nats ]; then printf 'NATS partitions: %s\n' "${HOOKFLOW_NATS_PARTITIONS:-none}"; fi
    # shellcheck disable=SC2059 # a format of ours
    printf "$row" run 'messages/s' job "${titles[@]}" 'peak memory' 'statements/s'
}

# measure_run RUN FOLDER MESSAGES: one line of the table.
measure_run() {
    local run=$1 folder=$2 messages=$3 begun ended before after read peak alone=-
    start_job --quiet --snapshot "$folder/snapshot.jsonl" --batches "$folder/batches.jsonl" 2> "$scratch/job.log"
    await webhooks_received_total 1
    begun=$(now) before=$(cpu_all) read=$(metric webhooks_received_total)
    await webhook_source_acknowledged_total "$messages"
    ended=$(now) after=$(cpu_all) peak=$(memory VmHWM)
    stop_job || die "the job ended with exit code $?; the end of its log: $(tail -n 3 "$scratch/job.log")"
    if [ -n "$statements" ]; then alone=$(statements_alone "$folder"); fi
    if [ "$read" -ge "$messages" ]; then die "too few messages to measure"; fi
    echo "$run $begun $ended $((messages - read)) $peak $alone $before $after" | awk '{
        printf "%s %d", $1, $4 / ($3 - $2)
        for (at = 7; at <= 10; at++) printf " %.1f", ($(at + 4) - $at) * 1e6 / $4
        print "", $5, $6
    }' >> "$results"
    table_line "$(tail -n 1 "$results")"
}

table_line() {
    local run fast job postgres clickhouse broker peak alone
    read -r run fast job postgres clickhouse broker peak alone <<< "$1"
    [ "$alone" = - ] || alone=$(grouped "$alone")
    # shellcheck disable=SC2059
    printf "$row" "$run" "$(grouped "$fast")" "$job" "$postgres" "$clickhouse" "$broker" "$peak MiB" "$alone"
}

# statements_alone FOLDER: the same events in a loop on one connection, events a second.
statements_alone() {
    HOOKFLOW_BENCH_DELIVERIES=$1 HOOKFLOW_BENCH_ROWS=$rows HOOKFLOW_BENCH_LEDGER=$preload "$statement_loop" --bench |
        awk '$1 == "statements" { print $2 }'
}

# table_median: of each column.
table_median() {
    local column line=median
    for column in 2 3 4 5 6 7 8; do
        line+=" $(cut -d' ' -f$column "$results" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }')"
    done
    table_line "$line"
}

# quantile STEP FIELD: of the time that a step took, in ms, as the job's summary has it.
quantile() {
    awk -v step="\"$1\"," -v field="\"$2_micros\":" '
        $1 == "\"step\":" { here = $2 == step }
        here && $1 == field { sub(",", "", $2); printf "%.1f\n", $2 / 1000; exit }' "$scratch/summary"
}

# writes STEP MESSAGES: how many writes there were, how large on average, and how long they took.
writes() {
    local count
    count=$(awk -v step="\"$1\"," '
        $1 == "\"step\":" { here = $2 == step }
        here && $1 == "\"times\":" { print $2 + 0; exit }' "$scratch/summary")
    printf '%s of %d messages on average, p50 %s ms, p99 %s ms' "$(grouped "$count")" "$(($2 / (count > 0 ? count : 1)))" "$(quantile "$1" p50)" "$(quantile "$1" p99)"
}

# measure_latency MESSAGES --snapshot FILE… -- FILE…: the files are published at the rate while the job runs.
measure_latency() {
    local messages=$1 snapshots=() publisher begun before after parts most=0 sizes=() took
    shift
    while [ "$1" != -- ]; do
        snapshots+=("$1")
        shift
    done
    shift
    export HOOKFLOW_LOG_WINDOW_EAGER=${HOOKFLOW_LOG_WINDOW_EAGER:-true}
    start_job --quiet --summary json "${snapshots[@]}" 2> "$scratch/job.log"
    until curl -sf "http://$metrics/readyz" >/dev/null; do
        kill -0 "$job" || die "the job ended: $(tail -n 3 "$scratch/job.log")"
        sleep 0.1
    done
    step "publishing $(grouped "$messages") messages, $(grouped "$rate") a second"
    begun=$(now) before=$(cpu_all)
    publish --rate "$rate" "$@" &
    publisher=$!
    until [ "$(metric webhook_source_acknowledged_total)" -ge "$messages" ]; do
        kill -0 "$job" || die "the job ended: $(tail -n 3 "$scratch/job.log")"
        parts=$(clickhouse "SELECT count() FROM system.parts WHERE active AND database = currentDatabase()")
        if [ "$parts" -gt "$most" ]; then most=$parts; fi
        sizes+=("$(memory VmRSS)")
        sleep 1
    done
    after=$(cpu_all) took=$(awk -v from="$begun" -v to="$(now)" 'BEGIN { print to - from }')
    wait "$publisher" || die "publishing failed"
    stop_job || die "the job ended with exit code $?"
    printf '\n%s, %s cores; %s a second for %d s, the log'"'"'s window eager: %s\n' "$(uname -m)" "$(nproc)" "$(grouped "$rate")" "${took%.*}" "$HOOKFLOW_LOG_WINDOW_EAGER"
    printf 'from the broker to durable in both databases: p50 %s ms, p95 %s ms, p99 %s ms, p99.9 %s ms, at most %s ms\n' \
        "$(quantile end_to_end p50)" "$(quantile end_to_end p95)" "$(quantile end_to_end p99)" "$(quantile end_to_end p999)" "$(quantile end_to_end max)"
    printf 'writes of state: %s; of the log: %s\n' "$(writes state_write "$messages")" "$(writes log_write "$messages")"
    printf 'active parts in ClickHouse: at most %d\n' "$most"
    printf 'memory of the job, at each quarter of the time: %s MiB\n' \
        "$(for quarter in 0 1 2 3; do printf '%s, ' "${sizes[$((${#sizes[@]} * quarter / 4))]}"; done; printf '%s' "${sizes[-1]}")"
    echo "$messages $before $after" | awk -v titles="job ${titles[*]}" '{
        split(titles, title, " ")
        printf "CPU, µs a message:"
        for (at = 1; at <= 4; at++) printf " %s %.1f%s", title[at], ($(at + 5) - $(at + 1)) * 1e6 / $1, at < 4 ? "," : "\n"
    }'
}
