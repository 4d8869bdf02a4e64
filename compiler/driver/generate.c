/* driver/generate.c: `dlc generate`: a sequence, one element after the other.
 *
 * A model with one input t[T]: class(V) and an output [T, V], the scores or probabilities of what
 * comes next at each place. A recurrent model is run one element at a time and remembers; any other
 * sees the last T elements again for each new one, and must not look ahead.
 */
#include "driver/driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_LENGTH = 500 };

typedef struct Generator {
    Run run;
    const Options *options;
    const DlrtModel *m;
    uint32_t output;
    int64_t window, classes;
    const char **names; /* of the classes, NULL where there is none */
    bool lines;         /* each example is a line */
    int64_t known;      /* classes that the data has, of which one is chosen */
    void **results;     /* one array for each output of the model */
    int32_t *tokens;    /* all so far */
    int64_t ntokens;
    double *scores;
    const DlcAdvance *advance; /* NULL: by windows */
    void *state, *arena;
    DlrtSampling sampling;
    uint64_t drawn;
    const char *until;
} Generator;

/* ---- what the model must be ------------------------------------------------------------------ */

static bool find_output(Generator *g) {
    const DlrtPort *input = &g->m->inputs[0];
    bool sequence = g->m->ninputs == 1 && input->rank == 1 && input->classes > 0;
    g->window = sequence ? input->dims[0] : 0;
    g->classes = input->classes;
    for (uint32_t i = 0; sequence && i < g->m->noutputs; i++) {
        const DlrtPort *port = &g->m->outputs[i];
        bool fits = !port->classes && port->rank == 2 && port->dims[0] == g->window &&
                    port->dims[1] == g->classes;
        if (!fits) continue;
        g->output = i;
        return true;
    }
    fprintf(stderr,
            "error: `generate` wants a model with one input t[T]: class(V) and an output [T, V], "
            "the scores or\n"
            "probabilities of what comes next at each place; `%s` is none\n",
            g->m->name);
    return false;
}

static void *aligned(size_t bytes) {
    size_t rounded = (bytes + 127) / 64 * 64;
    void *memory = aligned_alloc(64, rounded);
    if (memory) memset(memory, 0, rounded);
    return memory;
}

/* For a beginning and `length` elements behind it. */
static bool take_memory(Generator *g, int64_t length) {
    g->results = calloc(g->m->noutputs + 1, sizeof *g->results);
    g->tokens = calloc((size_t)length + 1, sizeof *g->tokens);
    g->scores = calloc((size_t)g->classes, sizeof *g->scores);
    int64_t arena = g->m->arena_bytes;
    if (g->advance && g->advance->arena_bytes > arena) arena = g->advance->arena_bytes;
    g->arena = aligned((size_t)arena);
    g->state = g->advance ? aligned((size_t)g->advance->state_bytes) : NULL;
    bool good =
        g->names && g->results && g->tokens && g->scores && g->arena && (g->state || !g->advance);
    for (uint32_t i = 0; good && i < g->m->noutputs; i++) {
        g->results[i] = aligned((size_t)g->m->outputs[i].elements * 8);
        good = g->results[i] != NULL;
    }
    if (!good) fprintf(stderr, "error: out of memory\n");
    return good;
}

static void give_memory(Generator *g) {
    for (uint32_t i = 0; g->results && i < g->m->noutputs; i++) free(g->results[i]);
    free(g->results);
    free(g->tokens);
    free(g->scores);
    free(g->names);
    free(g->arena);
    free(g->state);
}

/* The names of classes, as the weights know them; those of other programs leave it to the data. */
static int find_names(Generator *g) {
    bool known = dlrt_session_class(g->run.session, 0, 0) != NULL;
    int status = known ? EXIT_GOOD : open_data(&g->run);
    if (status != EXIT_GOOD) return status;
    const DlrtDataSpec *spec = g->run.data_spec;
    g->lines = spec && spec->nsources && strcmp(spec->sources[0].reader, "lines") == 0;
    g->names = calloc((size_t)g->classes + 1, sizeof *g->names);
    for (int64_t k = 0; g->names && k < g->classes; k++) {
        g->names[k] =
            known ? dlrt_session_class(g->run.session, 0, k) : dlrt_data_class(g->run.data, 0, k);
        if (g->names[k] && g->known == k) g->known++;
    }
    if (!g->known) g->known = g->classes; /* without names each will do */
    return EXIT_GOOD;
}

/* ---- running --------------------------------------------------------------------------------- */

/* The scores at a row of the output; probabilities become their logarithms. */
static void take_scores(Generator *g, int64_t row) {
    const void *array = g->results[g->output];
    double sum = 0;
    bool positive = true;
    for (int64_t k = 0; k < g->classes; k++) {
        int64_t at = row * g->classes + k;
        g->scores[k] =
            g->m->real_bytes == 8 ? ((const double *)array)[at] : ((const float *)array)[at];
        sum += g->scores[k];
        positive &= g->scores[k] >= 0;
    }
    if (!positive || fabs(sum - 1) > 1e-3) return;
    for (int64_t k = 0; k < g->classes; k++) g->scores[k] = log(g->scores[k]);
}

static DlrtCall new_call(Generator *g, const void *const *inputs) {
    return (DlrtCall){.params = dlrt_session_params(g->run.session),
                      .state = g->advance ? g->state : dlrt_session_state(g->run.session),
                      .inputs = inputs,
                      .results = g->results,
                      .n = 1,
                      .seed = g->sampling.seed,
                      .step = 1,
                      .arena = g->arena,
                      .parallel = driver_parallel(g->run.driver, g->m)};
}

/* Takes in one token; the scores of the next are then in g->scores. */
static void feed(Generator *g, int32_t token) {
    g->tokens[g->ntokens++] = token;
    if (g->advance) {
        const void *inputs[] = {&token};
        DlrtCall call = new_call(g, inputs);
        g->advance->advance(&call);
        take_scores(g, 0);
        return;
    }
    int64_t seen = g->ntokens < g->window ? g->ntokens : g->window;
    int32_t *window = calloc((size_t)g->window, sizeof *window);
    if (!window) return;
    memcpy(window, g->tokens + g->ntokens - seen, (size_t)seen * sizeof *window);
    const void *inputs[] = {window};
    DlrtCall call = new_call(g, inputs);
    g->m->forward(&call);
    take_scores(g, seen - 1);
    free(window);
}

static void restart(Generator *g) {
    g->ntokens = 0;
    if (!g->advance) return;
    memcpy(g->state, dlrt_session_state(g->run.session),
           (size_t)(g->m->state_elements * g->m->real_bytes));
    DlrtCall call = new_call(g, NULL);
    g->advance->start(&call);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The class whose text begins here, the longest; -1: none. */
static int64_t class_at(const Generator *g, const char *text, size_t *length) {
    int64_t found = -1;
    *length = 0;
    for (int64_t k = 0; k < g->classes; k++) {
        const char *name = g->names[k];
        size_t n = name ? strlen(name) : 0;
        if (n > *length && strncmp(name, text, n) == 0) found = k, *length = n;
    }
    return found;
}

/* The bytes of the character that begins here, in UTF-8. */
static int character_bytes(const char *text) {
    int n = 1;
    while ((text[n] & 0xC0) == 0x80) n++;
    return n;
}

static bool feed_text(Generator *g, const char *text) {
    while (*text) {
        size_t length;
        int64_t k = class_at(g, text, &length);
        if (k < 0) {
            fprintf(stderr, "error: the prompt has `%.*s`, which does not occur in the data\n",
                    character_bytes(text), text);
            return false;
        }
        feed(g, (int32_t)k);
        text += length;
    }
    return true;
}

static bool ends(const Generator *g, const char *name) {
    return g->until && strstr(name, g->until) != NULL;
}

static bool generate_one(Generator *g, int64_t length, const char *prompt) {
    restart(g);
    if (g->lines || !*prompt) feed(g, 0);
    if (!feed_text(g, prompt)) return false;
    fputs(prompt, stdout);
    for (int64_t i = 0; i < length; i++) {
        int64_t k = dlrt_sample(g->scores, g->known, &g->sampling, g->drawn++);
        const char *name = g->names[k];
        char number[32];
        snprintf(number, sizeof number, "%lld ", (long long)k);
        if (!name) name = number;
        if (ends(g, name)) break;
        fputs(name, stdout);
        fflush(stdout);
        if (i + 1 < length) feed(g, (int32_t)k);
    }
    putchar('\n');
    return true;
}

int run_generate(Driver *driver, const Options *options) {
    Generator g = {.options = options};
    int status = open_model(&g.run, driver, options, true);
    if (status == EXIT_GOOD) status = load_weights(&g.run);
    if (status != EXIT_GOOD) return status;
    g.m = g.run.model;
    if (!find_output(&g)) {
        close_run(&g.run);
        return EXIT_WRONG;
    }
    status = find_names(&g);
    if (status != EXIT_GOOD) return status;
    g.sampling = (DlrtSampling){.temperature = options->has_temperature ? options->temperature : 1,
                                .top_k = options->top_k,
                                .top_p = options->top_p,
                                .seed = options->has_seed ? options->seed : g.run.spec.seed};
    const char *prompt = options->prompt ? options->prompt : "";
    int64_t length = options->length ? options->length : DEFAULT_LENGTH;
    g.until = options->until ? options->until : g.lines ? "\n" : NULL;
    DlcOptions compile = threaded_options(driver, options);
    compile.threads = g.m->workers;
    g.advance = dlc_advance(driver->dlc, &compile);
    bool good = show_messages(driver, options) == EXIT_GOOD &&
                take_memory(&g, length + (int64_t)strlen(prompt));
    int64_t count = options->count ? options->count : 1;
    for (int64_t i = 0; good && i < count; i++) good = generate_one(&g, length, prompt);
    give_memory(&g);
    close_run(&g.run);
    return good ? EXIT_GOOD : EXIT_WRONG;
}
