/* plan/split.c: which kernels are divided among threads, along which index, into how many parts.
 *
 * in:   kernels      out: their cycles and splits
 *
 * A part must be worth what it costs to hand it to another thread: some microseconds when that
 * thread sleeps, less than one when it is awake. So small kernels, and with them small models, stay
 * whole. Parts never share an element of the result, and elements are computed in the same way in a
 * part as in the whole: results have the same bits for any number of threads. Examples are divided
 * rather than anything else, because a thread has its own ones in its caches.
 */
#include "plan/private.h"

enum {
    PART_CYCLES = 16000, /* about 5 microseconds */
    PARTS_OF_WORKER = 4, /* so that one that is late can be helped */
    MOST_PARTS = 16,     /* when all kernels are divided */
    ROWS = 8,            /* of the tiles of contractions */
};

/* What it is worth that a thread reads what it has written itself: threads get the same examples
 * in all kernels. */
static const double own_examples = 0.1;

typedef struct Choice {
    Planner *p;
    const Kernel *kernel;
    int64_t wanted; /* parts */
    Split split;
    double value;
} Choice;

/* The largest number of equal parts of whole units; of parts so large that a broken unit in each
 * does not matter; 1: there is none. */
static int64_t equal_parts(int64_t extent, int64_t wanted, int64_t unit) {
    for (int64_t parts = wanted; parts > 1; parts--) {
        if (extent % parts) continue;
        int64_t turns = extent / parts;
        if (turns % unit == 0 || turns >= 4 * unit) return parts;
    }
    return 1;
}

/* How busy the threads are kept by so many equal parts. */
static double share_busy(const Choice *c, int64_t parts) {
    int64_t threads = c->p->options->workers > 1 ? c->p->options->workers : 2;
    int64_t rounds = (parts + threads - 1) / threads;
    return (double)parts / (double)(rounds * threads);
}

/* Blocks of rows that begin elsewhere in a part than in the whole would add in another order where
 * they begin in the middle of what they sum: parts are of whole blocks. */
static bool is_blocked(const Kernel *k, const Index *index) {
    return k->block && index == k->free[k->nfree - 1];
}

static void consider(Choice *c, Index *index, int64_t unit, double value) {
    bool is_batch = index->extent == EXTENT_BATCH;
    bool is_whole = is_blocked(c->kernel, index);
    if (c->p->options->split_all && !is_whole) unit = 1;
    int64_t extent = is_batch ? c->p->m->max_batch : index->extent;
    int64_t units = extent / unit, parts = units < c->wanted ? units : c->wanted;
    int64_t equal = is_batch ? 1 : equal_parts(extent, c->wanted, unit);
    bool is_uneven = !is_batch && equal * 2 < parts;
    if (!is_batch && !is_uneven) parts = equal;
    if (parts < 2) return;
    value *= share_busy(c, parts) * (is_uneven ? 0.8 : 1);
    if (value <= c->value) return;
    c->value = value;
    c->split = (Split){.index = index, .parts = parts, .unit = unit, .is_whole = is_whole};
}

/* ---- contractions -----------------------------------------------------------------------------
 */

/* Parts along the rows each bring the columns into the order of the lanes, again: what is left of
 * the speed when that is done for each of `parts`. Doing it takes 0.4 cycles an element. */
static double again(const Choice *c, Index *const *rows, uint32_t n, int64_t parts) {
    double each = plan_points(c->p, rows, n) / (double)parts;
    return 1 / (1 + 0.4 * (double)c->p->lanes / each);
}

/* An index of one operand along which tiles lie, or one around them. */
static void consider_side(Choice *c, Index *const *indices, uint32_t n, const Expr *other) {
    const Kernel *k = c->kernel;
    bool has_vector = plan_contains(indices, n, k->vector);
    bool packs = !has_vector && k->vector && plan_read_stride(c->p, other, k->vector) != 1;
    for (uint32_t i = 0; i < n; i++) {
        Index *index = indices[i];
        bool is_batch = index->extent == EXTENT_BATCH;
        bool has_tiles = n == 1 || (!is_batch && index->extent >= 2 * ROWS);
        int64_t unit = index == k->vector ? 2 * c->p->lanes : has_tiles ? ROWS : 1;
        double value = index == k->vector ? 0.97 : packs ? again(c, indices, n, c->wanted) : 1;
        consider(c, index, unit, value - 0.01 * i + (is_batch ? own_examples : 0));
    }
}

static void consider_contraction(Choice *c) {
    const Roles *r = &c->kernel->roles;
    if (c->kernel->winograd.tile) {
        if (!c->kernel->winograd.is_gradient) consider(c, c->kernel->winograd.batch, 1, 1);
        return;
    }
    for (uint32_t i = 0; i < r->nbatch; i++)
        consider(c, r->batch[i], r->batch[i] == c->kernel->vector ? 2 * c->p->lanes : 1,
                 1 + own_examples - 0.01 * i);
    consider_side(c, r->m, r->nm, r->b);
    consider_side(c, r->n, r->nn, r->a);
}

/* ---- other kernels ----------------------------------------------------------------------------
 */

/* Do the steps of a nest add to each other along the index? */
static bool is_summed(const Kernel *nest, const Index *index) {
    for (uint32_t i = 0; i < nest->nsteps; i++)
        if (plan_contains(nest->steps[i]->over, nest->steps[i]->nover, index)) return true;
    return false;
}

/* Outer indices leave long inner loops. */
static void consider_free(Choice *c) {
    const Kernel *k = c->kernel;
    for (uint32_t i = 0; i < k->nfree; i++) {
        Index *index = k->free[i];
        bool is_vector = index == k->vector;
        bool is_row = k->kind == KERNEL_SCATTER && k->stores[0].at[k->scatter_dim] == index;
        if (is_row || is_summed(k, index)) continue;
        int64_t unit = is_blocked(k, index) ? k->block : is_vector ? 4 * c->p->lanes : 1;
        consider(c, index, unit, (is_vector ? 0.7 : 1) - 0.05 * i);
    }
}

static Index *batch_index(const Kernel *k) {
    return plan_batch_among(k->free, k->nfree);
}

/* Does a step read what the scan writes at another example? */
typedef struct Foreign {
    const Planner *p;
    const Kernel *scan, *step;
    bool found;
} Foreign;

static bool is_written(const Foreign *f, const Tensor *tensor) {
    const Tensor *base = plan_base(f->p, tensor);
    for (uint32_t i = 0; i < f->scan->nsteps; i++)
        for (uint32_t s = 0; s < f->scan->steps[i]->nstores; s++)
            if (plan_base(f->p, f->scan->steps[i]->stores[s].tensor) == base) return true;
    return false;
}

static void look_for_foreign(void *data, const Expr *e) {
    Foreign *f = data;
    if (e->kind != EX_READ || plan_accumulates(f->step, e->read.tensor)) return;
    const Tensor *tensor = e->read.tensor;
    if (!is_written(f, tensor)) return;
    const Expr *own = ir_index_value(f->p->ctx, batch_index(f->step));
    bool is_own = tensor->rank && tensor->dims[0] == EXTENT_BATCH && e->read.subs[0] == own;
    if (!is_own) f->found = true;
}

static void look_at_expression(void *data, const Kernel *k, const Expr *e) {
    Foreign *f = data;
    ir_visit(f->p->ctx, e, look_for_foreign, f);
}

/* A recurrence in which no example looks at another one: each thread has some of them for all the
 * time. */
static void consider_scan(Choice *c) {
    const Kernel *scan = c->kernel;
    Foreign foreign = {.p = c->p, .scan = scan};
    for (uint32_t i = 0; i < scan->nsteps; i++) {
        const Kernel *k = scan->steps[i];
        foreign.step = k;
        if (!batch_index(k) || k->kind == KERNEL_SCATTER) return;
        for (uint32_t s = 0; s < k->nstores; s++)
            if (k->stores[s].at[0] != batch_index(k)) return;
        plan_kernel_expressions(k, look_at_expression, &foreign);
    }
    if (!foreign.found) consider(c, batch_index(scan->steps[0]), ROWS, 1);
}

static void split_kernel(Planner *p, Kernel *k) {
    bool all = p->options->split_all;
    double wanted = all ? MOST_PARTS : k->cycles / PART_CYCLES;
    int64_t most = all ? MOST_PARTS : PARTS_OF_WORKER * p->options->workers;
    if (wanted < 2) return;
    Choice c = {.p = p, .kernel = k, .wanted = wanted < (double)most ? (int64_t)wanted : most};
    switch (k->kind) {
    case KERNEL_CONTRACT: consider_contraction(&c); break;
    case KERNEL_MAP:
    case KERNEL_REDUCE:
    case KERNEL_NEST:
    case KERNEL_SCATTER: consider_free(&c); break;
    case KERNEL_SCAN: consider_scan(&c); break;
    }
    k->split = c.split;
}

void plan_split(Planner *p) {
    for (uint32_t i = 0; i < p->f->kernels.len; i++) {
        plan_cycles(p, p->f->kernels.at[i]);
        bool is_divided = p->f->kernels.at[i]->split.index != NULL;
        if (is_divided || (p->options->workers < 2 && !p->options->split_all)) continue;
        split_kernel(p, p->f->kernels.at[i]);
    }
}
