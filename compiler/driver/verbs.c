/* driver/verbs.c: check, summary, compile, fmt. */
#include "driver/driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int run_check(Driver *driver, const Options *options) {
    dlc_check(driver->dlc);
    if (!options->json) return show_messages(driver, options);
    return dlc_show_messages(driver->dlc, stdout, false, true) ? EXIT_WRONG : EXIT_GOOD;
}

static void summary_json(const DlcSummary *s) {
    printf("{\"model\":");
    put_json_string(stdout, s->model);
    printf(",\"parameters\":%lld,\"flops\":%.0f,\"forward_flops\":%.0f,\"batch\":%lld,\"params_"
           "bytes\":%lld,"
           "\"state_bytes\":%lld,\"arena_bytes\":%lld,\"inference_arena_bytes\":%lld,\"layers\":[",
           (long long)s->parameters, s->flops, s->forward_flops, (long long)s->batch,
           (long long)s->params_bytes, (long long)s->state_bytes, (long long)s->arena_bytes,
           (long long)s->inference_arena_bytes);
    for (size_t i = 0; i < s->nrows; i++) {
        printf("%s{\"name\":", i ? "," : "");
        put_json_string(stdout, s->rows[i].name);
        printf(",\"shape\":");
        put_json_string(stdout, s->rows[i].shape);
        printf(",\"parameters\":%lld,\"flops\":%.0f}", (long long)s->rows[i].parameters,
               s->rows[i].flops);
    }
    printf("]}\n");
}

static void summary_line(const char *label, double value, void (*put)(FILE *, double),
                         const char *rest) {
    printf("%-22s", label);
    put(stdout, value);
    printf("%s\n", rest);
}

int run_summary(Driver *driver, const Options *options) {
    DlcOptions compile = compile_options(options);
    const DlcSummary *s = dlc_summary(driver->dlc, &compile);
    int status = show_messages(driver, options);
    if (!s) return EXIT_WRONG;
    if (options->json) {
        summary_json(s);
        return status;
    }
    printf("model %s\n\n%-20s %-16s %12s %14s\n", s->model, "layer", "shape", "parameters",
           "FLOP forward");
    for (size_t i = 0; i < s->nrows; i++) {
        const DlcSummaryRow *row = &s->rows[i];
        printf("%-20s %-16s %12lld %14.0f\n", row->name, row->shape, (long long)row->parameters,
               row->flops);
    }
    printf("%-20s %-16s %12lld %14.0f   for one example\n\n", "", "", (long long)s->parameters,
           s->forward_flops);
    char batch[64];
    snprintf(batch, sizeof batch, ", at batch %lld", (long long)s->batch);
    summary_line("parameters", (double)s->params_bytes, put_bytes, "");
    summary_line("state", (double)s->state_bytes, put_bytes, "  (of the optimizer and the model)");
    if (s->arena_bytes) summary_line("training arena", (double)s->arena_bytes, put_bytes, batch);
    summary_line("inference arena", (double)s->inference_arena_bytes, put_bytes, batch);
    if (s->flops > 0) summary_line("training step", s->flops, put_count, " FLOP");
    return status;
}

/* model.dl → model.o, model.h */
static char *with_ending(const char *path, const char *ending) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t stem =
        dot && dot != path && (!slash || dot > slash + 1) ? (size_t)(dot - path) : strlen(path);
    char *out = malloc(stem + strlen(ending) + 1);
    if (!out) return NULL;
    memcpy(out, path, stem);
    strcpy(out + stem, ending);
    return out;
}

static int write_files(Driver *driver, const Options *options, bool object, bool header) {
    DlcOptions compile = compile_options(options);
    char *object_path =
        options->output ? strdup(options->output) : with_ending(options->file, ".o");
    char *header_path = object_path ? with_ending(object_path, ".h") : NULL;
    bool good = object_path && header_path &&
                dlc_write_object(driver->dlc, &compile, object ? object_path : NULL,
                                 header ? header_path : NULL);
    int status = show_messages(driver, options);
    if (good && object) fprintf(stderr, "wrote %s\n", object_path);
    if (good && header) fprintf(stderr, "wrote %s\n", header_path);
    free(object_path);
    free(header_path);
    return good ? status : EXIT_WRONG;
}

static const char *const stages[] = {"syntax",  "ast",  "sema", "ir",     "diff", "grad",  "plan",
                                     "codegen", "llvm", "asm",  "target", "obj",  "header"};

static bool is_stage(const char *name) {
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (strcmp(stages[i], name) == 0) return true;
    return false;
}

/* Object files are not text: they go to a file of their own. */
static bool mixes(const Options *options) {
    const char *object = strstr(options->emit, "obj");
    bool to_stdout = options->output && strcmp(options->output, "-") == 0;
    if (object && (to_stdout || (options->output && strchr(options->emit, ',')))) {
        fprintf(stderr, "dlc: --emit=obj goes to a file of its own: emit it alone, with -o FILE\n");
        return true;
    }
    return false;
}

static int emit_all(Driver *driver, const Options *options, char *names) {
    DlcOptions compile = compile_options(options);
    FILE *out = stdout;
    bool to_file = options->output && strcmp(options->output, "-") != 0;
    if (mixes(options)) return EXIT_USAGE;
    if (to_file && strcmp(names, "obj") != 0) out = fopen(options->output, "w");
    if (!out) {
        fprintf(stderr, "dlc: cannot write %s: %s\n", options->output, strerror(errno));
        return EXIT_WRONG;
    }
    int status = EXIT_GOOD;
    for (char *name = strtok(names, ","); name && status == EXIT_GOOD; name = strtok(NULL, ",")) {
        if (!is_stage(name)) {
            fprintf(stderr, "dlc: --emit does not know `%s`; see `dlc compile --help`\n", name);
            status = EXIT_USAGE;
        } else if (strcmp(name, "obj") == 0) {
            status = write_files(driver, options, true, false);
        } else {
            bool good = dlc_emit(driver->dlc, &compile, name, out);
            status = show_messages(driver, options);
            if (!good) status = EXIT_WRONG;
        }
    }
    if (out != stdout && fclose(out) != 0) {
        fprintf(stderr, "dlc: cannot write %s: %s\n", options->output, strerror(errno));
        status = EXIT_WRONG;
    }
    return status;
}

int run_compile(Driver *driver, const Options *options) {
    if (!options->emit && options->output && strcmp(options->output, "-") == 0) {
        fprintf(stderr,
                "dlc: an object and a header are two files: say -o FILE, or what to --emit\n");
        return EXIT_USAGE;
    }
    if (!options->emit) return write_files(driver, options, true, true);
    char *names = strdup(options->emit);
    if (!names) return EXIT_WRONG;
    int status = emit_all(driver, options, names);
    free(names);
    return status;
}

static bool same_as_file(const char *path, const char *text) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    bool same = true;
    const char *p = text;
    for (int c = getc(file); c != EOF && same; c = getc(file))
        same = *p && (unsigned char)*p++ == c;
    fclose(file);
    return same && !*p;
}

int run_fmt(Driver *driver, const Options *options) {
    const char *text = dlc_format(driver->dlc, options->file);
    int status = show_messages(driver, options);
    if (!text) return EXIT_WRONG;
    if (!options->check_only) {
        fputs(text, stdout);
        return status;
    }
    if (same_as_file(options->file, text)) return status;
    fprintf(stderr, "%s is not in canonical form; `dlc fmt` prints it so\n", options->file);
    return EXIT_WRONG;
}
