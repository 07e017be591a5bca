/* clickhouse LIBRARY ARGUMENT…: runs the ClickHouse program that libchdb.so holds, with those arguments.
 *
 * The library has the whole program, its HTTP server included, but no main(). The call comes back only when the query
 * on the command line ends or the start has failed (the message is on stderr), so coming back is a failure. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s LIBRARY ARGUMENT...\n", argv[0]);
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    void *(*run)(int, char **) = (void *(*)(int, char **))dlsym(library, "chdb_query_cmdline");
    if (run == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    argv[1] = "clickhouse";
    run(argc - 1, argv + 1);
    return 1;
}
