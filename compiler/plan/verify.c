/* plan/verify.c: asserts what plan.h promises of a function.
 *
 *   - a kernel reads what exists: leaves, what earlier kernels (or turns of the scan) have written,
 * its accumulator, and, at the same point, its own earlier stores;
 *   - what is overwritten is read by no later kernel under its old name;
 *   - roles, vector and scatter are such as codegen takes them;
 *   - a kernel is divided along an index along which each of its stores is, or its stores are at
 * the number of the part;
 *   - buffers that live at the same time share no byte, unless they are one.
 */
#include "plan/private.h"

typedef struct Check {
    Ctx *ctx;
    const Function *f;
    Map written;     /* Tensor* that an earlier kernel has written */
    Map overwritten; /* Buffer* → Tensor* whose value is there now */
    Map scanned;     /* Tensor* written somewhere in the scan around */
    const Kernel *kernel;
    uint32_t earlier;   /* stores of the kernel that come before the expression looked at */
    const Kernel *nest; /* around the kernel; NULL: none */
} Check;

static bool is_leaf(const Check *c, const Tensor *tensor) {
    const Buffer *buffer = map_get(&c->f->buffer_of, tensor);
    return buffer && buffer->place != PLACE_ARENA && buffer->place != PLACE_RESULT &&
           buffer->place != PLACE_TURN && buffer->tensor == tensor;
}

static const Tensor *in_memory_as(const Check *c, const Buffer *buffer) {
    const Tensor *now = map_get(&c->overwritten, buffer);
    return now ? now : buffer->tensor;
}

static void check_read(void *data, const Expr *e) {
    Check *c = data;
    if (e->kind != EX_READ) return;
    const Tensor *tensor = e->read.tensor;
    const Kernel *k = c->kernel;
    if (plan_accumulates(k, tensor)) {
        DLC_ASSERT(c->ctx, plan_reads_at(e, k->free), k->span);
        return;
    }
    for (uint32_t i = 0; i < c->earlier; i++)
        if (k->stores[i].tensor == tensor && plan_reads_at(e, k->stores[i].at)) return;
    const Buffer *buffer = map_get(&c->f->buffer_of, tensor);
    if (!buffer) DLC_BUG(c->ctx, k->span, "`%s` is read and has no buffer", tensor->name);
    if (map_has(&c->scanned, tensor)) return;
    bool exists = is_leaf(c, tensor) || map_has(&c->written, tensor) || buffer->tensor != tensor;
    if (!exists) DLC_BUG(c->ctx, k->span, "`%s` is read before it is written", tensor->name);
    if (tensor == buffer->tensor && is_leaf(c, tensor) && in_memory_as(c, buffer) != tensor)
        DLC_BUG(c->ctx, k->span, "`%s` is read after it was overwritten", tensor->name);
}

static void check_expression(Check *c, const Expr *e, uint32_t earlier) {
    c->earlier = earlier;
    if (e) ir_visit(c->ctx, e, check_read, c);
}

static void check_stores(Check *c) {
    const Kernel *k = c->kernel;
    for (uint32_t i = 0; i < k->nstores; i++) {
        const Store *store = &k->stores[i];
        check_expression(c, store->value, i);
        uint32_t times = 0, outer = 0, nouter = c->nest ? c->nest->nfree - (c->nest->block > 0) : 0;
        for (uint32_t d = 0; d < store->tensor->rank; d++) {
            bool is_free = plan_contains(k->free, k->nfree, store->at[d]);
            DLC_ASSERT(c->ctx, store->at[d]->extent == store->tensor->dims[d], k->span);
            bool is_outer = plan_contains(c->nest ? c->nest->free : NULL, nouter, store->at[d]);
            outer += is_outer;
            times += !is_free && !is_outer;
        }
        const Buffer *buffer = map_get(&c->f->buffer_of, store->tensor);
        if (buffer && buffer->place == PLACE_TURN) nouter = 0;
        bool may_time = !c->nest || c->nest->split.number; /* of a scan, or of a part */
        DLC_ASSERT(c->ctx, outer == nouter && times <= may_time, k->span);
        DLC_ASSERT(c->ctx, store->tensor->rank == k->nfree + outer + times, k->span);
        DLC_ASSERT(c->ctx, (store->value->type == TY_INT) == (store->tensor->classes > 0), k->span);
    }
}

static void check_roles(Check *c) {
    const Kernel *k = c->kernel;
    const Roles *r = &k->roles;
    if (k->kind != KERNEL_CONTRACT) return;
    DLC_ASSERT(c->ctx, r->nbatch + r->nm + r->nn == k->nfree && r->nk == k->nover, k->span);
    const Expr *factors[] = {r->a, r->b};
    for (uint32_t f = 0; f < 2; f++) {
        DLC_ASSERT(c->ctx, plan_is_plain(factors[f]) || !factors[f]->read.otherwise, k->span);
        for (uint32_t d = 0; d < factors[f]->read.tensor->rank; d++) {
            const Expr *sub = factors[f]->read.subs[d];
            DLC_ASSERT(c->ctx, ir_inside(c->ctx, sub, factors[f]->read.tensor->dims[d], NULL, 0),
                       k->span);
        }
    }
}

static void check_scatter(Check *c) {
    const Kernel *k = c->kernel;
    if (k->kind != KERNEL_SCATTER) return;
    DLC_ASSERT(c->ctx, k->nstores == 1 && k->row, k->span);
    const Store *store = &k->stores[0];
    DLC_ASSERT(c->ctx, store->value == ir_read_at(c->ctx, k->acc, k->free), k->span);
    DLC_ASSERT(c->ctx, map_has(&c->f->buffer_of, store->tensor), k->span);
    DLC_ASSERT(c->ctx, plan_contains(k->free, k->nfree, store->at[k->scatter_dim]), k->span);
}

/* Do its stores, or those of its steps, have a place for each part where it sums these up? */
static void check_parts(Check *c, const Kernel *k, const Split *split) {
    bool is_sum = plan_contains(k->over, k->nover, split->index);
    DLC_ASSERT(c->ctx, is_sum || k->nsteps || plan_contains(k->free, k->nfree, split->index),
               k->span);
    for (uint32_t i = 0; is_sum && i < k->nstores; i++)
        DLC_ASSERT(c->ctx, k->stores[i].at[0] == split->number, k->span);
    for (uint32_t i = 0; i < k->nsteps; i++) check_parts(c, k->steps[i], split);
}

static void check_split(Check *c, const Kernel *k) {
    const Split *split = &k->split;
    if (!split->index) return;
    bool is_sum = split->number && k->kind != KERNEL_NEST;
    DLC_ASSERT(
        c->ctx,
        plan_contains(is_sum ? k->over : k->free, is_sum ? k->nover : k->nfree, split->index),
        k->span);
    if (split->number) check_parts(c, k, split);
    DLC_ASSERT(c->ctx, split->parts > 1 && split->unit > 0, k->span);
    DLC_ASSERT(c->ctx, k->kind != KERNEL_SCATTER || k->stores[0].at[k->scatter_dim] != split->index,
               k->span);
}

static void note_stores(Check *c, const Kernel *k) {
    for (uint32_t i = 0; i < k->nstores; i++) {
        Tensor *tensor = k->stores[i].tensor;
        Buffer *buffer = map_get(&c->f->buffer_of, tensor);
        map_set(c->ctx->arena, &c->written, tensor, tensor);
        if (buffer) map_set(c->ctx->arena, &c->overwritten, buffer, tensor);
    }
}

static void check_kernel(Check *c, const Kernel *k) {
    c->kernel = k;
    check_expression(c, k->body, 0);
    for (uint32_t i = 0; i < k->nalso; i++) check_expression(c, k->also[i].body, 0);
    DLC_ASSERT(c->ctx, k->nalso == 0 || k->kind == KERNEL_REDUCE, k->span);
    check_expression(c, k->row, 0);
    bool has_vector = !k->vector || plan_contains(k->free, k->nfree, k->vector) ||
                      (k->kind == KERNEL_REDUCE && plan_contains(k->over, k->nover, k->vector));
    DLC_ASSERT(c->ctx, has_vector, k->span);
    check_roles(c);
    check_scatter(c);
    check_split(c, k);
    check_stores(c);
    note_stores(c, k);
}

static void check_scan(Check *c, const Kernel *scan) {
    for (uint32_t i = 0; i < scan->nsteps; i++)
        for (uint32_t s = 0; s < scan->steps[i]->nstores; s++)
            map_set(c->ctx->arena, &c->scanned, scan->steps[i]->stores[s].tensor, (void *)scan);
    for (uint32_t i = 0; i < scan->nsteps; i++) check_kernel(c, scan->steps[i]);
    c->scanned = (Map){0};
}

/* What a step writes the others touch in the same turn only. */
typedef struct Turn {
    Check *check;
    const Store *store;
} Turn;

static void check_turn(void *data, const Expr *e) {
    const Turn *turn = data;
    const Kernel *nest = turn->check->nest;
    const Store *store = turn->store;
    Buffer *written = map_get(&turn->check->f->buffer_of, store->tensor);
    if (e->kind != EX_READ || !written) return;
    if (map_get(&turn->check->f->buffer_of, e->read.tensor) != written) return;
    for (uint32_t d = 0; d < store->tensor->rank; d++)
        if (plan_contains(nest->free, nest->nfree, store->at[d]))
            DLC_ASSERT(turn->check->ctx,
                       e->read.tensor->rank == store->tensor->rank &&
                           e->read.subs[d] == ir_index_value(turn->check->ctx, store->at[d]),
                       nest->span);
}

static void check_turns(void *data, const Kernel *k, const Expr *e) {
    Turn *turn = data;
    (void)k;
    ir_visit(turn->check->ctx, e, check_turn, turn);
}

static void check_nest(Check *c, const Kernel *nest) {
    c->nest = nest;
    check_split(c, nest);
    for (uint32_t i = 0; i < nest->nsteps; i++) {
        const Kernel *step = nest->steps[i];
        check_kernel(c, step);
        for (uint32_t s = 0; s < step->nstores; s++)
            for (uint32_t other = 0; other < nest->nsteps; other++)
                plan_kernel_expressions(nest->steps[other], check_turns,
                                        &(Turn){c, &step->stores[s]});
    }
    c->nest = NULL;
}

/* What lies in one place has elements of one size there. */
static void check_elements(const Check *c) {
    for (uint32_t i = 0; i < c->f->buffer_of.len; i++) {
        const Tensor *tensor = c->f->buffer_of.entries[i].key;
        const Buffer *buffer = c->f->buffer_of.entries[i].value;
        if (!buffer) continue;
        DLC_ASSERT(c->ctx,
                   plan_element_bytes(c->f, tensor) == plan_element_bytes(c->f, buffer->tensor),
                   tensor->span);
    }
}

static void check_buffers(Check *c) {
    const Function *f = c->f;
    check_elements(c);
    for (uint32_t i = 0; i < f->buffers.len; i++) {
        const Buffer *a = f->buffers.at[i];
        DLC_ASSERT(c->ctx, a->offset % 64 == 0, a->tensor->span);
        if (a->place != PLACE_ARENA) continue;
        DLC_ASSERT(c->ctx, a->offset + a->bytes <= f->workspace_offset, a->tensor->span);
        for (uint32_t k = 0; k < i; k++) {
            const Buffer *b = f->buffers.at[k];
            bool together = a->first <= b->last && b->first <= a->last;
            if (b->place != PLACE_ARENA || !together) continue;
            if (a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes)
                DLC_BUG(c->ctx, a->tensor->span, "`%s` and `%s` lie in the same memory",
                        a->tensor->name, b->tensor->name);
        }
    }
}

void plan_verify(Ctx *ctx, const Function *f) {
    Check c = {.ctx = ctx, .f = f};
    for (uint32_t i = 0; i < f->kernels.len; i++) {
        if (f->kernels.at[i]->kind == KERNEL_SCAN)
            check_scan(&c, f->kernels.at[i]);
        else if (f->kernels.at[i]->kind == KERNEL_NEST)
            check_nest(&c, f->kernels.at[i]);
        else
            check_kernel(&c, f->kernels.at[i]);
    }
    check_buffers(&c);
    for (uint32_t i = 0; i < f->module->roots.len; i++) {
        bool written = false;
        for (uint32_t k = 0; k < f->buffers.len; k++) {
            const Buffer *buffer = f->buffers.at[k];
            written |= buffer->place == PLACE_RESULT && buffer->slot == i &&
                       map_has(&c.written, buffer->tensor);
        }
        DLC_ASSERT(ctx, written, f->module->roots.at[i].tensor->span);
    }
}
