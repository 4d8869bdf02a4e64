/* driver/main.c: the command `dlc`: finds the verb, reads the options, runs. */
#include "driver/driver.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const Verb verbs[] = {
    {"check", "find mistakes",
     "Reads the file, expands every model and prints what is wrong with it.", run_check},
    {"summary", "layers, shapes, parameters, cost",
     "Prints a row for each layer, then the size of the parameters, the memory that training and "
     "inference\n"
     "need, exactly, and the floating-point operations of a step.",
     run_summary},
    {"compile", "write an object file and its header",
     "Writes FILE.o and FILE.h, which a C program links and includes; they need nothing else. With "
     "--emit,\n"
     "prints what the named stages make of the model instead (obj: writes the object file).",
     run_compile},
    {"train", "train on data",
     "Runs the file's train block and prints how it goes, epoch by epoch.", run_train},
    {"eval", "loss and metrics of a trained model", "Needs --weights, from `dlc train --save`.",
     run_eval},
    {"predict", "outputs of a trained model", "Needs --weights, from `dlc train --save`.",
     run_predict},
    {"generate", "a sequence, element by element",
     "For models that say what comes next: an input t[T]: class(V), an output [T, V] of scores or\n"
     "probabilities. Needs --weights, which know the alphabet; those of other programs need the "
     "data, too.",
     run_generate},
    {"gradcheck", "check derivatives",
     "Compares, in double precision and for every parameter and input, reverse mode with forward "
     "mode and with\n"
     "central differences of the loss, and prints the largest relative difference.",
     run_gradcheck},
    {"bench", "time and GFLOP/s of each kernel, against the machine's limits",
     "Measures what this machine can do at most, then every kernel of a training step and the "
     "whole,\n"
     "on random data; needs no data and no weights.",
     run_bench},
    {"fmt", "print the file in canonical form",
     "Comments are kept. The file itself is not changed.", run_fmt},
    {"repl", "define, differentiate, train and query, live",
     "Reads definitions and expressions line by line; `:help` lists its commands.", run_repl},
    {NULL, NULL, NULL, NULL},
};

const Verb *verb_find(const char *name) {
    for (const Verb *v = verbs; v->name; v++)
        if (strcmp(v->name, name) == 0) return v;
    return NULL;
}

static bool wants_color(const Options *options) {
    if (options->color && strcmp(options->color, "always") == 0) return true;
    if (options->color && strcmp(options->color, "never") == 0) return false;
    return isatty(STDERR_FILENO) && !getenv("NO_COLOR");
}

int show_messages(Driver *driver, const Options *options) {
    unsigned errors = dlc_show_messages(driver->dlc, stderr, wants_color(options), false);
    return errors ? EXIT_WRONG : EXIT_GOOD;
}

void show_error(const Options *options, const DlrtError *error) {
    bool color = wants_color(options);
    if (error->path[0]) fprintf(stderr, "%s:", error->path);
    if (error->path[0] && error->line) fprintf(stderr, "%lld:", (long long)error->line);
    if (error->path[0] && error->line && error->column)
        fprintf(stderr, "%lld:", (long long)error->column);
    if (error->path[0]) fputc(' ', stderr);
    fprintf(stderr, "%serror:%s %s\n", color ? "\033[1;31m" : "", color ? "\033[0m" : "",
            error->message);
}

/* Where users keep what can be made again (XDG Base Directory Specification): ~/.cache/dlc. */
static void find_cache(Options *options) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    size_t size = sizeof options->cache;
    int n = 0;
    if (options->no_cache) return;
    if (cache && cache[0] == '/')
        n = snprintf(options->cache, size, "%s/dlc", cache);
    else if (home && home[0] == '/')
        n = snprintf(options->cache, size, "%s/.cache/dlc", home);
    if (n < 0 || (size_t)n >= size) options->cache[0] = 0;
}

DlcOptions compile_options(const Options *options) {
    return (DlcOptions){.model = options->model,
                        .batch = options->batch,
                        .steps = options->epochs ? -1 : options->steps,
                        .threads = options->threads,
                        .settings = options->settings,
                        .nsettings = options->nsettings,
                        .f64 = options->f64,
                        .bf16 = options->bf16,
                        .winograd = options->winograd,
                        .inference = options->inference,
                        .triple = options->triple,
                        .cpu = options->cpu,
                        .cache = options->cache[0] ? options->cache : NULL,
                        .verify = options->verify_each};
}

double driver_seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double driver_now(void) {
    return driver_seconds(CLOCK_MONOTONIC);
}

static int run(const Verb *verb, const Options *options) {
    if (options->expect) return run_expect(options);
    Driver driver = {.started = driver_now(), .startup = driver_seconds(CLOCK_PROCESS_CPUTIME_ID)};
    driver.dlc = dlc_open();
    if (!driver.dlc) {
        fputs("dlc: out of memory\n", stderr);
        return EXIT_WRONG;
    }
    int status = EXIT_GOOD;
    /* fmt reads the file itself, as text; everyone else wants its definitions. A session begins
     * whatever the file is like. */
    bool loaded = !options->file || verb->run == run_fmt || dlc_load(driver.dlc, options->file);
    if (loaded || verb->run == run_repl)
        status = verb->run(&driver, options);
    else
        status = show_messages(&driver, options);
    if (driver.session) dlrt_session_close(driver.session);
    dlc_close(driver.dlc);
    dlrt_threads_close(driver.threads);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("dlc: cannot write to stdout");
        if (status == EXIT_GOOD) status = EXIT_WRONG;
    }
    return status;
}

/* The verb is the first or the second word that is one. */
static const Verb *take_verb(int *nwords, char **words) {
    if (*nwords && strcmp(words[0], "help") == 0) return NULL;
    for (int i = 0; i < *nwords && i < 2; i++) {
        const Verb *verb = verb_find(words[i]);
        if (!verb) continue;
        memmove(&words[i], &words[i + 1], (size_t)(*nwords - i - 1) * sizeof *words);
        (*nwords)--;
        return verb;
    }
    return NULL;
}

static const char *nearest_verb(const char *word) {
    const char *names[32];
    size_t n = 0;
    for (const Verb *v = verbs; v->name && n < sizeof names / sizeof *names; v++)
        names[n++] = v->name;
    return dlrt_nearest(word, names, n);
}

static int no_verb(int nwords, char **words) {
    if (nwords == 0) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0 ||
        strcmp(words[0], "help") == 0) {
        const Verb *about = nwords > 1 ? verb_find(words[1]) : NULL;
        if (about)
            options_help(about, stdout);
        else
            usage(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(words[0], "--version") == 0) {
        printf("dlc %s\n", dlc_version());
        return EXIT_GOOD;
    }
    const char *word = nwords > 1 ? words[1] : NULL;
    const char *near = word ? nearest_verb(word) : NULL;
    if (words[0][0] == '-' || (word && word[0] == '-'))
        fprintf(stderr, "dlc: options stand behind the file and the verb, got `%s` before them\n\n",
                words[0][0] == '-' ? words[0] : word);
    else if (word)
        fprintf(stderr, "dlc: neither `%s` nor `%s` is a verb%s%s%s\n\n", words[0], word,
                near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    else
        fprintf(stderr, "dlc: say what to do with `%s`\n\n", words[0]);
    usage(stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    setlocale(LC_NUMERIC, "C");
    prepare_memory();
    int nwords = argc - 1;
    char **words = argv + 1;
    const Verb *verb = take_verb(&nwords, words);
    if (!verb) return no_verb(nwords, words);
    Options options = {0};
    int status = EXIT_USAGE;
    if (options_parse(verb, nwords, words, &options)) {
        if (options.help) {
            options_help(verb, stdout);
            status = EXIT_GOOD;
        } else if (!options.file && verb->run != run_repl) {
            fprintf(stderr, "dlc: `dlc %s` wants a .dl file; see `dlc %s --help`\n", verb->name,
                    verb->name);
        } else {
            find_cache(&options);
            status = run(verb, &options);
        }
    }
    options_free(&options);
    return status;
}
