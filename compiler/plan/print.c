/* plan/print.c: a planned function as text.
 *
 *     function step: 2 kernels, 4352 bytes of arena (256 workspace), 4352 live
 *     kernel h[batch, u] along u
 *       contract sum[i] x[batch, i] * w[u, i]
 *       then h = max(_ + b[u], 0)
 *     buffers
 *       h: 0 to 2048 of the arena, kernels 0 to 1
 *
 * `live` is the most that is needed at one time. `in blocks of 4 turns of k`: a contraction sums so
 * many turns at a time; `of 128 rows`: and for so many rows of tiles, perhaps copied to lie as they
 * are read; `panels of w are packed once`: for all times of the recurrence around. `8 parts of
 * batch` behind the vectorised index: so many threads can compute the kernel, each a range of
 * batch; `summed apart`: each has a result of its own, and the next kernel reduces these. `_` is
 * what the kernel has reduced to at its point, `_2` the second of several reductions. `k to t`
 * behind a step of a nest of blocks of rows t: it leaves out what is behind the last of them.
 * `then` is written to memory, `let` is not; `w.new (in w)` overwrites w.
 */
#include "plan/private.h"

typedef struct Printer {
    Ctx *ctx;
    Text *out;
    const Function *f;
    const Kernel *kernel;
} Printer;

static void put_indices(Text *out, Index *const *indices, uint32_t n) {
    if (n == 0) return;
    text_put(out, "[");
    for (uint32_t i = 0; i < n; i++) text_printf(out, "%s%s", i ? ", " : "", indices[i]->name);
    text_put(out, "]");
}

static const Expr *blank_accumulator(void *data, const Expr *e) {
    Printer *p = data;
    if (e->kind != EX_READ || !plan_accumulates(p->kernel, e->read.tensor)) return NULL;
    Tensor *blank = ARENA_NEW(p->ctx->arena, Tensor);
    *blank = *e->read.tensor;
    blank->name = "_";
    for (uint32_t i = 0; i < p->kernel->nalso; i++)
        if (p->kernel->also[i].acc == e->read.tensor)
            blank->name = arena_printf(p->ctx->arena, "_%u", i + 2);
    blank->rank = 0;
    return ir_read(p->ctx, blank, NULL, NULL);
}

static void put_value(Printer *p, const Expr *e) {
    if (p->kernel->acc) e = ir_rewrite_reads(p->ctx, e, blank_accumulator, p);
    ir_print_expr(p->out, e);
}

static void put_one(Printer *p, const char *indent, const char *kind, ReduceOp op,
                    const Expr *body) {
    static const char *const names[] = {[REDUCE_SUM] = "sum",       [REDUCE_MAX] = "max",
                                        [REDUCE_MIN] = "min",       [REDUCE_PROD] = "prod",
                                        [REDUCE_ARGMAX] = "argmax", [REDUCE_ARGMIN] = "argmin"};
    text_printf(p->out, "%s  %s %s", indent, kind, names[op]);
    put_indices(p->out, p->kernel->over, p->kernel->nover);
    text_put(p->out, " ");
    put_value(p, body);
}

static void put_reduction(Printer *p, const char *indent) {
    const Kernel *k = p->kernel;
    if (k->kind == KERNEL_MAP) return;
    const char *kind = k->kind == KERNEL_CONTRACT  ? "contract"
                       : k->kind == KERNEL_SCATTER ? "scatter"
                                                   : "reduce";
    put_one(p, indent, kind, k->op, k->body);
    if (k->kind == KERNEL_SCATTER) {
        text_printf(p->out, " to %s = ", k->stores[0].at[k->scatter_dim]->name);
        put_value(p, k->row);
    }
    text_put(p->out, "\n");
    for (uint32_t i = 0; i < k->nalso; i++) {
        put_one(p, indent, "and", k->also[i].op, k->also[i].body);
        text_put(p->out, "\n");
    }
}

static void put_blocking(Printer *p, const char *indent) {
    const Blocking *b = &p->kernel->blocking;
    if (p->kernel->part)
        text_printf(p->out, "%s  in sums of %lld of %s, added up\n", indent,
                    (long long)p->kernel->part, p->kernel->over[0]->name);
    const Winograd *w = &p->kernel->winograd;
    if (w->tile)
        text_printf(p->out, "%s  by Winograd's algorithm, tiles of %u x %u, %u at a time%s\n",
                    indent, w->tile, w->tile, w->together, w->pairs ? ", in pairs" : "");
    else if (w->is_possible)
        text_printf(p->out, "%s  as written: Winograd's algorithm would not be faster\n", indent);
    if (b->pair) text_printf(p->out, "%s  in pairs along %s\n", indent, b->pair->name);
    if (b->turns && !p->kernel->part)
        text_printf(p->out, "%s  in blocks of %lld turns of %s\n", indent, (long long)b->turns,
                    p->kernel->over[0]->name);
    if (b->rows)
        text_printf(p->out, "%s  in blocks of %lld rows%s\n", indent, (long long)b->rows,
                    b->rows_bytes ? ", copied" : "");
    if (b->kept_bytes)
        text_printf(p->out, "%s  panels of %s are packed once\n", indent,
                    plan_oriented(p->kernel).b->read.tensor->name);
}

static void put_stores(Printer *p, const char *indent) {
    const Kernel *k = p->kernel;
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Store *store = &k->stores[i];
        const Buffer *buffer = map_get(&p->f->buffer_of, store->tensor);
        text_printf(p->out, "%s  %s %s", indent, buffer ? "then" : "let", store->tensor->name);
        if (buffer && buffer->tensor != store->tensor)
            text_printf(p->out, " (in %s)", buffer->tensor->name);
        text_put(p->out, " = ");
        put_value(p, store->value);
        text_put(p->out, "\n");
    }
}

static void put_split(Text *out, const Kernel *k) {
    if (k->split.index)
        text_printf(out, ", %lld parts of %s", (long long)k->split.parts, k->split.index->name);
    if (k->split.number) text_put(out, ", summed apart");
    text_put(out, "\n");
}

static void put_place(Text *out, const char *word, const Index *row, int64_t distance) {
    text_printf(out, " %s %s", word, row->name);
    if (distance) text_printf(out, "%s%lld", distance > 0 ? "+" : "", (long long)distance);
}

static void put_band(Text *out, const Kernel *k) {
    if (!k->band.index) return;
    const Index *row = k->around->free[k->around->nfree - 1];
    text_printf(out, ", %s", k->band.index->name);
    if (k->band.low != INT64_MIN) put_place(out, "from", row, k->band.low);
    if (k->band.high != INT64_MAX) put_place(out, "to", row, k->band.high);
}

static void put_kernel(Printer *p, const Kernel *k, const char *indent) {
    p->kernel = k;
    text_printf(p->out, "%s%s %s", indent, *indent ? "step" : "kernel", k->name);
    if (k->kind == KERNEL_SCAN) {
        text_printf(p->out, " for %s %s", k->time->name, k->direction < 0 ? "down" : "up");
        put_split(p->out, k);
        for (uint32_t i = 0; i < k->nsteps; i++) put_kernel(p, k->steps[i], "  ");
        return;
    }
    if (k->kind == KERNEL_NEST) {
        text_put(p->out, " for each ");
        put_indices(p->out, k->free, k->nfree);
        if (k->block)
            text_printf(p->out, ", %lld %s at a time", (long long)k->block,
                        k->free[k->nfree - 1]->name);
        put_split(p->out, k);
        for (uint32_t i = 0; i < k->nsteps; i++) put_kernel(p, k->steps[i], "  ");
        return;
    }
    put_indices(p->out, k->free, k->nfree);
    if (k->vector) text_printf(p->out, " along %s", k->vector->name);
    put_band(p->out, k);
    put_split(p->out, k);
    put_reduction(p, indent);
    put_blocking(p, indent);
    put_stores(p, indent);
}

static void put_buffer(Text *out, const Function *f, const Buffer *buffer) {
    const uint32_t *order = map_get(&f->storage, buffer->tensor);
    long long end = (long long)(buffer->offset + buffer->bytes);
    switch (buffer->place) {
    case PLACE_INPUT:
        text_printf(out, "  %s: input %u\n", buffer->tensor->name, buffer->slot);
        return;
    case PLACE_RESULT:
        text_printf(out, "  %s: result %u\n", buffer->tensor->name, buffer->slot);
        return;
    case PLACE_PARAM:
    case PLACE_STATE:
    case PLACE_ARENA:
    case PLACE_TURN: break;
    }
    const char *place = buffer->place == PLACE_PARAM   ? "parameters"
                        : buffer->place == PLACE_STATE ? "state"
                        : buffer->place == PLACE_TURN  ? "workspace"
                                                       : "arena";
    text_printf(out, "  %s: %lld to %lld of the %s", buffer->tensor->name,
                (long long)buffer->offset, end, place);
    if (plan_is_rounded(f, buffer->tensor)) text_put(out, ", bf16");
    if (buffer->place == PLACE_ARENA)
        text_printf(out, ", kernels %u to %u", buffer->first, buffer->last);
    for (uint32_t d = 0; order && d < buffer->tensor->rank; d++)
        text_printf(out, "%s %u", d ? "" : ", dimensions", order[d]);
    text_put(out, "\n");
}

void plan_print(Ctx *ctx, Text *out, const Function *f) {
    Printer p = {.ctx = ctx, .out = out, .f = f};
    text_printf(out, "function %s: %u kernels, %lld bytes of arena (%lld workspace), %lld live\n",
                f->name, f->kernels.len, (long long)f->arena_bytes, (long long)f->workspace_bytes,
                (long long)f->live_bytes);
    for (uint32_t i = 0; i < f->kernels.len; i++) put_kernel(&p, f->kernels.at[i], "");
    text_put(out, "buffers\n");
    for (uint32_t i = 0; i < f->buffers.len; i++) put_buffer(out, f, f->buffers.at[i]);
}
