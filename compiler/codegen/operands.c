/* codegen/operands.c: what a kernel touches.
 *
 * in:   a kernel      out: the buffers of the tensors in its expressions, each once
 * Tensors that share their bytes (updates in place) share one parameter.
 */
#include "codegen/calls.h"

static bool same_place(const Buffer *a, const Buffer *b) {
    return a->place == b->place && a->slot == b->slot && a->offset == b->offset;
}

static bool share_bytes(const Buffer *a, const Buffer *b) {
    if (a->place != b->place || a->slot != b->slot) return false;
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static void add_operand(Operands *o, const Tensor *tensor, bool is_written) {
    const Buffer *buffer = map_get(&o->g->function->buffer_of, tensor);
    if (!buffer) return; /* the accumulator, or a value that is never in memory */
    uint32_t i = 0;
    while (i < o->all.len && !same_place(o->all.at[i].buffer, buffer)) i++;
    if (i == o->all.len)
        vec_push(o->g->ctx->arena, &o->all, ((Operand){.buffer = buffer, .tensor = tensor}));
    if (buffer->bytes > o->all.at[i].buffer->bytes) o->all.at[i].buffer = buffer;
    o->all.at[i].is_written |= is_written;
    map_set(o->g->ctx->arena, &o->number, tensor, (void *)(uintptr_t)(i + 1));
}

static void visit_read(void *data, const Expr *e) {
    if (e->kind == EX_READ) add_operand(data, e->read.tensor, false);
}

static void add_expression(Operands *o, const Expr *e) {
    if (e) ir_visit(o->g->ctx, e, visit_read, o);
}

static void add_kernel(Operands *o, const Kernel *k) {
    add_expression(o, k->body);
    for (uint32_t i = 0; i < k->nalso; i++) add_expression(o, k->also[i].body);
    add_expression(o, k->row);
    add_expression(o, k->roles.a);
    add_expression(o, k->roles.b);
    if (k->acc) add_operand(o, k->acc, true);
    for (uint32_t i = 0; i < k->nstores; i++) {
        add_expression(o, k->stores[i].value);
        add_operand(o, k->stores[i].tensor, true);
    }
    for (uint32_t i = 0; i < k->nsteps; i++) add_kernel(o, k->steps[i]);
}

static void find_overlaps(Operands *o) {
    for (uint32_t i = 0; i < o->all.len; i++)
        for (uint32_t j = 0; j < i; j++)
            if (share_bytes(o->all.at[i].buffer, o->all.at[j].buffer))
                o->all.at[i].overlaps = o->all.at[j].overlaps = true;
}

void operands_find(Gen *g, const Kernel *k, Operands *o) {
    *o = (Operands){.g = g};
    add_kernel(o, k);
    find_overlaps(o);
}

bool operands_are_aligned(const Buffer *buffer) {
    return buffer->place != PLACE_INPUT && buffer->place != PLACE_RESULT;
}
