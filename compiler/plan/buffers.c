/* plan/buffers.c: a place in memory for every tensor that has one.
 *
 * in:   kernels      out: buffers, and how large the arena is
 * Invariant: two buffers of the arena that live at the same time share no byte. A buffer lives from
 * the first to the last kernel that touches it, both included; a recurrence is one kernel here.
 */
#include "plan/private.h"

#include <stdlib.h>

/* ---- intervals --------------------------------------------------------------------------------
 */

static int larger_first(const void *a, const void *b) {
    const Interval *x = *(Interval *const *)a, *y = *(Interval *const *)b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : x > y; /* in the caller's order */
}

/* A place that is taken from one time to another, both included. */
typedef struct Taken {
    uint32_t first, last;
    int64_t begin, end; /* in memory */
} Taken;

/* Keeps the places in the order in which they begin. */
static void insert_taken(Taken *taken, uint32_t n, Taken own) {
    uint32_t i = n;
    while (i > 0 && taken[i - 1].begin > own.begin) i--;
    memmove(taken + i + 1, taken + i, (n - i) * sizeof *taken);
    taken[i] = own;
}

/* The largest first, each at the lowest place that is free as long as it lives. */
int64_t plan_place(Ctx *ctx, Interval *intervals, uint32_t n) {
    Interval **order = ARENA_ARRAY(ctx->scratch, Interval *, n + 1);
    Taken *taken = ARENA_ARRAY(ctx->scratch, Taken, n + 1);
    int64_t most = 0;
    for (uint32_t i = 0; i < n; i++) order[i] = &intervals[i];
    qsort(order, n, sizeof *order, larger_first);
    for (uint32_t i = 0; i < n; i++) {
        Taken own = {order[i]->first, order[i]->last, 0, plan_aligned(order[i]->bytes)};
        int64_t bytes = own.end;
        for (const Taken *other = taken; other < taken + i; other++) {
            if (other->first > own.last || other->last < own.first) continue;
            if (other->begin >= own.end) break;
            if (other->end <= own.begin) continue;
            own.begin = other->end;
            own.end = own.begin + bytes;
        }
        order[i]->offset = own.begin;
        insert_taken(taken, i, own);
        if (own.end > most) most = own.end;
    }
    return most;
}

/* ---- buffers ----------------------------------------------------------------------------------
 */

static Buffer *add_buffer(Planner *p, Tensor *tensor, Place place, uint32_t slot, int64_t offset) {
    int64_t element = plan_element_bytes(p->f, tensor);
    Buffer *buffer = ARENA_NEW(p->ctx->arena, Buffer);
    *buffer = (Buffer){.tensor = tensor, .place = place, .slot = slot, .offset = offset};
    buffer->bytes = tensor_elements(tensor, p->m->max_batch) * element;
    buffer->first = UINT32_MAX;
    vec_push(p->ctx->arena, &p->f->buffers, buffer);
    map_set(p->ctx->arena, &p->f->buffer_of, tensor, buffer);
    return buffer;
}

static void add_leaf(Planner *p, const Layout *layout, Tensor *tensor) {
    const int64_t *offset = NULL;
    Place place = PLACE_PARAM;
    if (tensor->kind == TENSOR_PARAM) offset = map_get(&layout->params, tensor);
    if (tensor->kind == TENSOR_STATE) {
        offset = map_get(&layout->states, tensor);
        place = PLACE_STATE;
    }
    if (!offset) DLC_BUG(p->ctx, tensor->span, "`%s` is given by nobody", tensor->name);
    add_buffer(p, tensor, place, 0, *offset);
}

/* Values of the first index. */
static int64_t first_extent(const Planner *p, const Tensor *tensor) {
    return tensor->dims[0] == EXTENT_BATCH ? p->m->max_batch : tensor->dims[0];
}

/* The buffer of a tensor; made when it is first asked for. */
static Buffer *buffer_of(Planner *p, const Layout *layout, Tensor *tensor) {
    Buffer *buffer = map_get(&p->f->buffer_of, tensor);
    if (buffer) return buffer;
    Tensor *base = plan_base(p, tensor), *target = map_get(&p->in_place, base);
    if (base != tensor || target) {
        buffer = buffer_of(p, layout, base != tensor ? base : target);
        map_set(p->ctx->arena, &p->f->buffer_of, tensor, buffer);
        return buffer;
    }
    const Node *node = map_get(&p->node_of, tensor);
    if (node && !node->in_memory) return NULL;
    if (!node) {
        add_leaf(p, layout, tensor);
        return map_get(&p->f->buffer_of, tensor);
    }
    buffer = add_buffer(p, tensor, node->is_of_turn ? PLACE_TURN : PLACE_ARENA, 0, 0);
    if (node->block) {
        buffer->rows = node->at[0];
        buffer->bytes = buffer->bytes / first_extent(p, tensor) * node->block;
    }
    return buffer;
}

/* ---- lifetimes --------------------------------------------------------------------------------
 */

typedef struct Lifetimes {
    Planner *p;
    const Layout *layout;
    const Kernel *kernel;
    uint32_t position, step;
} Lifetimes;

static void touch(Lifetimes *l, Tensor *tensor) {
    if (plan_accumulates(l->kernel, tensor)) return;
    Buffer *buffer = buffer_of(l->p, l->layout, tensor);
    if (!buffer) return;
    uint32_t position = buffer->place == PLACE_TURN ? l->step : l->position;
    if (position < buffer->first) buffer->first = position;
    if (position > buffer->last) buffer->last = position;
}

static void touch_expression(void *data, const Kernel *k, const Expr *e) {
    (void)k;
    Lifetimes *l = data;
    const Reads *reads = ir_reads(l->p->ctx, e);
    for (uint32_t i = 0; i < reads->len; i++) touch(l, reads->at[i]->read.tensor);
}

static void touch_kernel(Lifetimes *l, const Kernel *k) {
    l->kernel = k;
    plan_kernel_expressions(k, touch_expression, l);
    for (uint32_t i = 0; i < k->nstores; i++) touch(l, k->stores[i].tensor);
    for (uint32_t i = 0; i < k->nsteps; i++) {
        l->step = i;
        touch_kernel(l, k->steps[i]);
    }
}

/* ---- the arena --------------------------------------------------------------------------------
 */

static int64_t panels_of(const Kernel *k) {
    int64_t most = k->blocking.workspace_bytes;
    for (uint32_t i = 0; i < k->nsteps; i++) {
        int64_t bytes = panels_of(k->steps[i]);
        if (bytes > most) most = bytes;
    }
    return plan_aligned(most);
}

static int64_t workspace_of(const Kernel *k) {
    return panels_of(k) + k->turn_bytes;
}

/* The buffers from `begin` on that live for a turn of the nest alone. */
static void place_turn(Planner *p, Kernel *nest, uint32_t begin) {
    uint32_t n = 0, end = p->f->buffers.len;
    Interval *intervals = ARENA_ARRAY(p->ctx->scratch, Interval, end - begin + 1);
    for (uint32_t i = begin; i < end; i++) {
        const Buffer *buffer = p->f->buffers.at[i];
        if (buffer->place == PLACE_TURN)
            intervals[n++] = (Interval){buffer->first, buffer->last, buffer->bytes, 0};
    }
    if (n == 0) return;
    nest->turn_bytes = plan_place(p->ctx, intervals, n);
    n = 0;
    for (uint32_t i = begin; i < end; i++)
        if (p->f->buffers.at[i]->place == PLACE_TURN)
            p->f->buffers.at[i]->offset = panels_of(nest) + intervals[n++].offset;
}

/* One behind the other for the workers of divided kernels; the first is also that of all others. */
static void place_workspaces(Planner *p) {
    Function *f = p->f;
    f->workers = p->options->workers > 1 ? p->options->workers : 1;
    for (uint32_t i = 0; i < f->kernels.len; i++) {
        const Kernel *k = f->kernels.at[i];
        int64_t bytes = plan_aligned(workspace_of(k));
        if (bytes > f->workspace_bytes) f->workspace_bytes = bytes;
        if (k->split.index && bytes > f->worker_bytes) f->worker_bytes = bytes;
    }
    if (f->workers * f->worker_bytes > f->workspace_bytes)
        f->workspace_bytes = f->workers * f->worker_bytes;
    f->arena_bytes = f->workspace_offset + f->workspace_bytes;
}

/* The most that buffers of the arena hold while one kernel runs. */
static int64_t most_live(const Planner *p) {
    const Function *f = p->f;
    int64_t *change = ARENA_ARRAY(p->ctx->scratch, int64_t, f->kernels.len + 1);
    for (uint32_t i = 0; i < f->buffers.len; i++) {
        const Buffer *buffer = f->buffers.at[i];
        if (buffer->place != PLACE_ARENA) continue;
        change[buffer->first] += plan_aligned(buffer->bytes);
        change[buffer->last + 1] -= plan_aligned(buffer->bytes);
    }
    int64_t live = 0, most = 0;
    for (uint32_t i = 0; i < f->kernels.len; i++) {
        live += change[i];
        if (live > most) most = live;
    }
    return most;
}

static void place_arena(Planner *p) {
    Function *f = p->f;
    Interval *intervals = ARENA_ARRAY(p->ctx->scratch, Interval, f->buffers.len + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->buffers.len; i++) {
        const Buffer *buffer = f->buffers.at[i];
        if (buffer->place == PLACE_ARENA)
            intervals[n++] = (Interval){buffer->first, buffer->last, buffer->bytes, 0};
    }
    f->workspace_offset = plan_place(p->ctx, intervals, n);
    n = 0;
    for (uint32_t i = 0; i < f->buffers.len; i++)
        if (f->buffers.at[i]->place == PLACE_ARENA)
            f->buffers.at[i]->offset = intervals[n++].offset;
    place_workspaces(p);
    f->live_bytes = most_live(p) + f->workspace_bytes;
}

void plan_buffers(Planner *p, Tensor *const *inputs, uint32_t ninputs, const Layout *layout) {
    Lifetimes l = {.p = p, .layout = layout};
    for (uint32_t i = 0; i < ninputs; i++)
        if (inputs[i]) add_buffer(p, inputs[i], PLACE_INPUT, i, 0);
    for (uint32_t i = 0; i < p->m->roots.len; i++) add_buffer(p, p->roots[i], PLACE_RESULT, i, 0);
    for (uint32_t i = 0; i < p->f->kernels.len; i++) {
        uint32_t before = p->f->buffers.len;
        l.position = i;
        touch_kernel(&l, p->f->kernels.at[i]);
        place_turn(p, p->f->kernels.at[i], before);
    }
    place_arena(p);
}
