/* traffic.c: which memory each kernel touches, and how long ago it was touched before.
 *
 * in:   a planned function      out: DlcBenchKernel.touches
 * The function is thought to run again and again. A distance counts every byte touched in between,
 * so that bytes touched within a cache's size of each other are likely to be still there. What a
 * kernel touches is counted once for each tensor it reads and once for each it writes, however
 * often it does so: the least there is to do.
 */
#include "session.h"

typedef struct Access {
    const Buffer *buffer;
    double bytes;
    double again, again_distance; /* a recurrence reads what has no time at every time */
    bool is_write;
} Access;

typedef struct Traffic {
    Ctx *ctx;
    const Function *f;
    const Kernel *kernel; /* of which expressions are looked at: a step of a recurrence, too */
    const Index *time;
    double around; /* turns of the nest around, each of which touches a piece of its own */
    double points; /* at which the expression is evaluated */
    Vec(Access) accesses;
} Traffic;

static double points_of(const Traffic *t, Index *const *indices, uint32_t n) {
    double points = 1;
    for (uint32_t i = 0; i < n; i++)
        points *= (double)(indices[i]->extent == EXTENT_BATCH ? t->f->module->max_batch
                                                              : indices[i]->extent);
    return points;
}

static bool is_stored(const Kernel *k, const Tensor *tensor) {
    for (uint32_t i = 0; i < k->nstores; i++)
        if (k->stores[i].tensor == tensor) return true;
    return false;
}

static void add_access(Traffic *t, const Tensor *tensor, bool is_write, bool over_time) {
    const Buffer *buffer = map_get(&t->f->buffer_of, tensor);
    if (!buffer || tensor == t->kernel->acc) return;
    double element = (double)plan_element_bytes(t->f, tensor);
    double turns = t->time ? (double)t->time->extent : 1;
    double bytes = t->points * element * (over_time ? turns : 1);
    if (bytes > (double)buffer->bytes) bytes = (double)buffer->bytes;
    Access *access = NULL;
    for (uint32_t i = 0; i < t->accesses.len && !access; i++)
        if (t->accesses.at[i].buffer == buffer && t->accesses.at[i].is_write == is_write)
            access = &t->accesses.at[i];
    if (!access) {
        vec_push(t->ctx->arena, &t->accesses, ((Access){.buffer = buffer, .is_write = is_write}));
        access = &t->accesses.at[t->accesses.len - 1];
    }
    if (bytes > access->bytes) access->bytes = bytes;
    if (!over_time && turns > 1) access->again += bytes * (turns - 1);
}

static void add_read(void *data, const Expr *e) {
    Traffic *t = data;
    if (e->kind != EX_READ || is_stored(t->kernel, e->read.tensor)) return;
    add_access(t, e->read.tensor, false, t->time && ir_uses_index(e, t->time));
}

static void add_expression(Traffic *t, const Expr *e) {
    if (e) ir_visit(t->ctx, e, add_read, t);
}

static void add_kernel(Traffic *t, const Kernel *k) {
    double free = t->around * points_of(t, k->free, k->nfree);
    double over = points_of(t, k->over, k->nover);
    t->kernel = k;
    t->points = k->kind == KERNEL_SCATTER ? t->around * over : free * over;
    add_expression(t, k->body);
    add_expression(t, k->row);
    t->points = free;
    for (uint32_t i = 0; i < k->nstores; i++) {
        if (k->kind != KERNEL_SCATTER) add_expression(t, k->stores[i].value);
        add_access(t, k->stores[i].tensor, true, true);
    }
    t->time = k->time;
    /* A blocked index is one of the steps. */
    if (k->kind == KERNEL_NEST) t->around = points_of(t, k->free, k->nfree - (k->block > 0));
    for (uint32_t i = 0; i < k->nsteps; i++) add_kernel(t, k->steps[i]);
    if (k->nsteps) {
        t->time = NULL;
        t->around = 1;
    }
}

/* What a recurrence touches at one time is the distance of what it touches at every time. */
static void set_inner_distances(Traffic *t, const Kernel *k) {
    double each = 0, turns = k->time ? (double)k->time->extent : 1;
    for (uint32_t i = 0; i < t->accesses.len; i++) {
        const Access *access = &t->accesses.at[i];
        each += access->again > 0 ? access->bytes : access->bytes / turns;
    }
    for (uint32_t i = 0; i < t->accesses.len; i++) t->accesses.at[i].again_distance = each;
}

/* Which bytes of the buffers have passed by when each was touched last. */
typedef struct Clock {
    double bytes;
    Map last; /* Buffer* → double* */
} Clock;

static double distance_of(Ctx *ctx, Clock *clock, const Access *access) {
    double *last = map_get(&clock->last, access->buffer);
    double distance = last ? clock->bytes - *last : 0;
    if (!last) {
        last = ARENA_NEW(ctx->arena, double);
        map_set(ctx->arena, &clock->last, access->buffer, last);
    }
    clock->bytes += access->bytes;
    *last = clock->bytes;
    return distance + access->bytes;
}

static void put_touches(Ctx *ctx, Traffic *t, Clock *clock, DlcBenchKernel *out) {
    DlcTouch *touches = ARENA_ARRAY(ctx->arena, DlcTouch, 2 * t->accesses.len + 1);
    size_t n = 0;
    for (uint32_t i = 0; i < t->accesses.len; i++) {
        const Access *access = &t->accesses.at[i];
        touches[n++] = (DlcTouch){access->bytes, distance_of(ctx, clock, access)};
        if (access->again > 0) touches[n++] = (DlcTouch){access->again, access->again_distance};
    }
    out->touches = touches;
    out->ntouches = n;
}

void traffic_of(Ctx *ctx, const Function *f, DlcBenchKernel *kernels) {
    Clock clock = {0};
    for (int turn = 0; turn < 2; turn++) { /* the second finds what the first left */
        for (uint32_t i = 0; i < f->kernels.len; i++) {
            Traffic t = {.ctx = ctx, .f = f, .around = 1};
            add_kernel(&t, f->kernels.at[i]);
            set_inner_distances(&t, f->kernels.at[i]);
            put_touches(ctx, &t, &clock, &kernels[i]);
        }
    }
}
