/* target/header.c: prints the header of an object file.
 *
 * in:   the description of a compiled model      out: C text that documents itself
 * The signatures here and those that codegen/export.c emits are the same by construction: inputs,
 * targets and outputs in order of declaration.
 */
#include "target/header.h"

#include <ctype.h>
#include <string.h>

static const char *const reserved[] = {
    "alignas", "alignof", "and", "asm", "auto", "bool", "break", "case", "catch", "char", "class",
    "const", "constexpr", "continue", "default", "delete", "do", "double", "else", "enum",
    "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline",
    "int", "long", "mutable", "namespace", "new", "not", "operator", "or", "private", "protected",
    "public", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct",
    "switch", "template", "this", "throw", "true", "try", "typedef", "typeof", "union", "unsigned",
    "using", "virtual", "void", "volatile", "while", "xor",
    /* the parameters that every function has */
    "params", "state", "n", "seed", "step", "arena", "parallel"};

const char *target_identifier(Ctx *ctx, const char *name) {
    char *id = arena_strdup(ctx->arena, name);
    for (char *p = id; *p; p++)
        if (!isalnum((unsigned char)*p)) *p = '_';
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(id, reserved[i]) == 0) return arena_printf(ctx->arena, "%s_", id);
    return id;
}

static const char *upper(Ctx *ctx, const char *name) {
    char *text = arena_strdup(ctx->arena, name);
    for (char *p = text; *p; p++) *p = (char)toupper((unsigned char)*p);
    return text;
}

static void put_shape(Text *out, uint32_t rank, const int64_t *dims) {
    for (uint32_t d = 0; d < rank; d++) text_printf(out, "[%lld]", (long long)dims[d]);
}

typedef struct Header {
    Ctx *ctx;
    Text *out;
    const DlrtModel *model;
    const char *name, *macro, *real;
} Header;

static void put_ports(Header *h, const DlrtPort *ports, uint32_t n, bool is_output) {
    for (uint32_t i = 0; i < n; i++)
        text_printf(h->out, "%s%s *%s, ", is_output ? "" : "const ",
                    ports[i].classes ? "int32_t" : h->real,
                    target_identifier(h->ctx, ports[i].name));
}

static void describe_ports(Header *h, const char *what, const DlrtPort *ports, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const DlrtPort *port = &ports[i];
        text_printf(h->out, " *   %-7s %s%s", what, target_identifier(h->ctx, port->name),
                    port->batched ? "[n]" : "");
        put_shape(h->out, port->rank, port->dims);
        if (port->classes)
            text_printf(h->out, ", whole numbers 0 .. %lld", (long long)port->classes - 1);
        text_put(h->out, "\n");
    }
}

static const char *rounded_text(const DlrtModel *m) {
    for (uint32_t i = 0; i < m->nparams; i++)
        if (m->params[i].rounded)
            return " What is bf16 has elements of\n"
                   " * uint16_t there, half as many bytes: the upper half of a float, rounded.";
    return "";
}

/* `a.b` and `a_b` are different tensors: the name of the second one gets a number. */
static const char *unused_name(Ctx *ctx, Map *used, const char *name) {
    Sym unused = sym(ctx, name);
    for (uint32_t i = 2; map_has(used, unused); i++)
        unused = sym(ctx, arena_printf(ctx->arena, "%s_%u", name, i));
    map_set(ctx->arena, used, unused, ctx);
    return unused;
}

static void put_places(Header *h, const char *what, const DlrtTensor *tensors, uint32_t n) {
    Map used = {0};
    for (uint32_t i = 0; i < n; i++) {
        const DlrtTensor *t = &tensors[i];
        const char *name = unused_name(h->ctx, &used, target_identifier(h->ctx, t->name));
        text_printf(h->out, "#define %s_%s_%s %lld /* %s", h->macro, what, name,
                    (long long)t->offset, t->name);
        put_shape(h->out, t->rank, t->dims);
        text_put(h->out, t->rounded ? ", bf16 */\n" : " */\n");
    }
    text_put(h->out, "\n");
}

static void put_sizes(Header *h) {
    const DlrtModel *m = h->model;
    text_printf(h->out, "#define %s_BATCH %lld /* examples in a call, at most */\n", h->macro,
                (long long)m->max_batch);
    text_printf(h->out, "#define %s_PARAMS %lld /* %ss */\n", h->macro,
                (long long)m->params_elements, h->real);
    text_printf(h->out, "#define %s_STATE %lld /* %ss; may be 0 */\n", h->macro,
                (long long)m->state_elements, h->real);
    text_printf(h->out, "#define %s_ARENA %lld /* bytes, 64-byte aligned */\n", h->macro,
                (long long)m->arena_bytes);
    if (m->workers > 1)
        text_printf(h->out, "#define %s_WORKERS %lld /* threads in a call, at most */\n", h->macro,
                    (long long)m->workers);
    text_put(h->out, "\n");
    if (m->nparams) {
        text_printf(h->out, "/* Where each parameter begins in `params`, in %ss; row-major.%s */\n",
                    h->real, rounded_text(m));
        put_places(h, "AT", m->params, m->nparams);
    }
    if (m->nstates) {
        text_printf(h->out, "/* Where each tensor of `state` begins there; in saved weights NAME "
                            "is state.NAME. */\n");
        put_places(h, "STATE_AT", m->states, m->nstates);
    }
}

/* The same type for all models of a program. */
static const char threads_text[] =
    "/* Your threads, for calls that are to use several; without (NULL) a call uses its own.\n"
    " * `run` must call task(argument, part, worker) once for each part in 0 .. parts-1, in any\n"
    " * order and in any threads, and return when all have ended. `worker` must be in\n"
    " * 0 .. WORKERS-1, and not be the same in two calls that go on at the same time: with OpenMP\n"
    " *\n"
    " *     #pragma omp parallel for schedule(dynamic) num_threads(WORKERS)\n"
    " *     for (int64_t part = 0; part < parts; part++)\n"
    " *         task(argument, part, omp_get_thread_num());\n"
    " *\n"
    " * The results have the same bits for any number of threads. */\n"
    "#ifndef DLC_PARALLEL\n"
    "#define DLC_PARALLEL\n"
    "struct dlc_parallel {\n"
    "    void (*run)(void *context,\n"
    "                void (*task)(const void *argument, int64_t part, int64_t worker),\n"
    "                const void *argument, int64_t parts);\n"
    "    void *context;\n"
    "};\n"
    "#endif\n\n";

static const char *last_parameter(const Header *h) {
    return h->model->workers > 1 ? ", const struct dlc_parallel *parallel" : "";
}

static void put_functions(Header *h, bool trains) {
    const DlrtModel *m = h->model;
    Text *out = h->out;
    text_printf(out, "/* Initial parameters and state; the same for the same seed. */\n");
    text_printf(out, "void %s_init(%s *params, %s *state, uint64_t seed, void *arena);\n\n",
                h->name, h->real, h->real);
    text_printf(out, "/* Runs the model on n examples, 1 <= n <= %s_BATCH.\n", h->macro);
    describe_ports(h, "input", m->inputs, m->ninputs);
    describe_ports(h, "output", m->outputs, m->noutputs);
    text_put(out, " */\n");
    text_printf(out, "void %s_forward(const %s *params, const %s *state, ", h->name, h->real,
                h->real);
    put_ports(h, m->inputs, m->ninputs, false);
    put_ports(h, m->outputs, m->noutputs, true);
    text_printf(out, "int64_t n, void *arena%s);\n", last_parameter(h));
    if (!trains) return;
    text_printf(
        out,
        "\n/* One training step on n examples, 1 <= n <= %s_BATCH: updates params and state and\n"
        " * returns the loss before the update. `step` counts from 1; `seed` feeds the random\n"
        " * draws, if the model has any.\n",
        h->macro);
    describe_ports(h, "input", m->inputs, m->ninputs);
    describe_ports(h, "target", m->targets, m->ntargets);
    text_put(out, " */\n");
    text_printf(out, "%s %s_step(%s *params, %s *state, ", h->real, h->name, h->real, h->real);
    put_ports(h, m->inputs, m->ninputs, false);
    put_ports(h, m->targets, m->ntargets, false);
    text_printf(out, "int64_t n, uint64_t seed, uint64_t step, void *arena%s);\n",
                last_parameter(h));
}

static void put_machine(Text *out, const Machine *machine) {
    text_printf(out, " * For %s and processors at least as able as `%s`", machine->triple,
                machine->cpu);
    if (machine->is_scalable)
        text_printf(out, ",\n * with vectors of just %lld bytes", (long long)machine->vector_bytes);
    text_put(out, ".\n *\n");
}

void target_header(Ctx *ctx, Text *out, const DlrtModel *model, const Machine *machine,
                   bool trains) {
    const char *name = target_identifier(ctx, model->name);
    Header h = {
        ctx, out, model, name, upper(ctx, name), model->real_bytes == 8 ? "double" : "float"};
    text_printf(out, "/* Model `%s`, compiled by dlc.\n", model->name);
    put_machine(out, machine);
    text_printf(out,
                " * The functions call nothing%s, allocate nothing and keep nothing: all memory is "
                "the caller's.\n",
                model->workers > 1 ? " but `parallel`" : "");
    text_put(out, " * params, state and arena must be 64-byte aligned; the arena needs no "
                  "initialisation and\n"
                  " * may be used for other things between calls. Two threads may call at the same "
                  "time with\n"
                  " * different arenas, as long as only one of them writes the parameters.\n */\n");
    text_printf(out, "#ifndef DLC_MODEL_%s_H\n#define DLC_MODEL_%s_H\n\n#include <stdint.h>\n\n",
                h.macro, h.macro);
    text_put(out, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    put_sizes(&h);
    if (model->workers > 1) text_put(out, threads_text);
    put_functions(&h, trains);
    text_put(out, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
