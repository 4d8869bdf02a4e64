/* plan/kernels.c: drafts to kernels: what is stored, and what only passes through.
 *
 * in:   drafts      out: the kernels of the function
 *
 * A node is in memory when it is a result, a new value, or when another kernel reads it (or this
 * one, elsewhere or at another time). What is not goes straight into the one place that reads it;
 * read in several, it stays a store without a buffer, which codegen computes and never writes.
 */
#include "plan/private.h"

/* ---- what is in memory ------------------------------------------------------------------------
 */

static void mark_reads(Planner *p, const Node *node) {
    Reads own = {0};
    const Reads *reads = plan_node_reads(p->ctx, node, &own);
    for (uint32_t r = 0; r < reads->len; r++) {
        const Expr *read = reads->at[r];
        Node *from = map_get(&p->node_of, plan_base(p, read->read.tensor));
        if (!from) continue;
        bool same = from->draft == node->draft && read->read.tensor == from->result;
        if (same && plan_reads_at(read, from->at))
            from->nreads++;
        else
            from->in_memory = true;
    }
}

static void mark_all(Planner *p) {
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Node *node = p->nodes.at[i];
        if (node->is_pinned || node->draft->kernel->kind == KERNEL_SCATTER) node->in_memory = true;
        mark_reads(p, node);
    }
}

/* ---- stores -----------------------------------------------------------------------------------
 */

/* Values that replace reads of tensors that are not stored. */
typedef struct Passing {
    Planner *p;
    Map values; /* Tensor* → const Expr* */
} Passing;

static const Expr *pass_value(void *data, const Expr *e) {
    Passing *passing = data;
    return e->kind == EX_READ ? map_get(&passing->values, e->read.tensor) : NULL;
}

static bool passes_through(const Planner *p, const Node *node, const Expr *value) {
    if (node->in_memory) return false;
    return node->reduces || node->nreads == 1 || value->kind == EX_READ || value->kind == EX_NUMBER;
}

static void build_stores(Planner *p, Draft *draft) {
    Kernel *k = draft->kernel;
    Passing passing = {.p = p};
    k->stores = ARENA_ARRAY(p->ctx->arena, Store, draft->nodes.len + 1);
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        Node *node = draft->nodes.at[i];
        const Expr *value = node->body;
        if (node->reduces)
            value = ir_read_at(p->ctx, node->acc, k->free);
        else if (passing.values.len)
            value = ir_rewrite_reads(p->ctx, value, pass_value, &passing);
        if (node->before) value = ir_add(p->ctx, ir_read_at(p->ctx, node->before, node->at), value);
        if (value->type == TY_INT) value = ir_int_atom(p->ctx, value);
        if (passes_through(p, node, value)) {
            map_set(p->ctx->scratch, &passing.values, node->result, (void *)value);
            continue;
        }
        k->stores[k->nstores++] = (Store){.tensor = node->result, .at = node->at, .value = value};
        if (node->in_memory) k->name = node->target ? node->target->name : node->result->name;
    }
    DLC_ASSERT(p->ctx, k->name, k->span);
}

void plan_finish_kernel(Planner *p, Kernel *k) {
    plan_vector(p, k);
    plan_flops(p->ctx, k);
    if (k->kind != KERNEL_CONTRACT) return;
    const Expr *b = plan_oriented(k).b;
    int64_t times = b ? plan_turns_kept(p, k, b) : 1;
    if (!plan_pairs(p->ctx, p->f, k, times, p->options))
        k->blocking = plan_blocking(p->f, k, p->options);
    plan_keep(p, k);
}

/* The kernel's free indices in the order of `at`, by `order`. False: some are not there. */
static bool reorder_free(Planner *p, Kernel *k, Index *const *at, const uint32_t *order,
                         uint32_t rank) {
    Index **free = ARENA_ARRAY(p->ctx->arena, Index *, k->nfree + 1);
    uint32_t n = 0;
    for (uint32_t d = 0; d < rank; d++)
        for (uint32_t i = 0; i < k->nfree; i++)
            if (k->free[i] == at[order[d]]) free[n++] = k->free[i];
    if (n == k->nfree) k->free = free;
    return n == k->nfree;
}

/* Loops in the order in which the dimensions of what is written lie in memory. */
static void order_loops(Planner *p, const Draft *draft) {
    Kernel *k = draft->kernel;
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        const Node *node = draft->nodes.at[i];
        const uint32_t *order = map_get(&p->f->storage, node->result);
        if (order && reorder_free(p, k, node->at, order, node->result->rank)) break;
    }
    for (uint32_t i = 0; i < draft->nodes.len; i++)
        for (uint32_t d = 0; draft->nodes.at[i]->acc && d < k->nfree; d++)
            draft->nodes.at[i]->acc->dims[d] = k->free[d]->extent;
}

/* The flops of a step are those of all turns. */
static void count_turns(const Kernel *k, Kernel *step) {
    if (k->time) step->flops *= (double)k->time->extent;
    if (k->time) step->example_flops *= (double)k->time->extent;
    for (uint32_t i = 0; i + (k->block > 0) < k->nfree; i++) {
        double turns = k->free[i]->extent == EXTENT_BATCH ? 1 : (double)k->free[i]->extent;
        step->flops *= turns;
        step->example_flops *= turns;
        if (k->free[i]->extent != EXTENT_BATCH) continue;
        step->example_flops += step->flops;
        step->flops = 0;
    }
}

static void build_kernel(Planner *p, Draft *draft) {
    Kernel *k = draft->kernel;
    if (!draft->steps) {
        order_loops(p, draft);
        build_stores(p, draft);
        plan_finish_kernel(p, k);
        return;
    }
    k->nsteps = draft->steps->all.len;
    k->steps = ARENA_ARRAY(p->ctx->arena, Kernel *, k->nsteps + 1);
    for (uint32_t i = 0; i < k->nsteps; i++) {
        Draft *step = draft->steps->all.at[i];
        build_kernel(p, step);
        k->steps[i] = step->kernel;
        count_turns(k, step->kernel);
        if (i == 0 || k->kind == KERNEL_NEST) k->name = step->kernel->name;
    }
    if (k->kind == KERNEL_SCAN) plan_place_kept(k);
}

/* ---- new values -------------------------------------------------------------------------------
 */

/* target[..] = value[..], at the very end. */
static Kernel *copy_kernel(Planner *p, const Node *node) {
    Kernel *k = ARENA_NEW(p->ctx->arena, Kernel);
    Tensor *target = node->target;
    k->kind = KERNEL_MAP;
    k->name = target->name;
    k->span = node->span;
    k->free = ir_free_indices(p->ctx, target, NULL);
    k->nfree = target->rank;
    k->stores = ARENA_NEW(p->ctx->arena, Store);
    k->nstores = 1;
    const Expr *value = ir_read_at(p->ctx, node->result, k->free);
    if (value->type == TY_INT) value = ir_int_atom(p->ctx, value);
    k->stores[0] = (Store){.tensor = target, .at = k->free, .value = value};
    plan_finish_kernel(p, k);
    return k;
}

static void place_new_values(Planner *p) {
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Node *node = p->nodes.at[i];
        if (!node->target) continue;
        if (plan_may_overwrite(p, node)) {
            map_set(p->ctx->scratch, &p->in_place, node->result, node->target);
        } else {
            DLC_ASSERT(p->ctx, !node->scan.group, node->span);
            vec_push(p->ctx->scratch, &p->copied, node);
        }
    }
}

void plan_kernels(Planner *p) {
    mark_all(p);
    place_new_values(p);
    plan_nest(p);
    plan_rounding(p);
    for (uint32_t i = 0; i < p->drafts.all.len; i++) {
        build_kernel(p, p->drafts.all.at[i]);
        vec_push(p->ctx->arena, &p->f->kernels, p->drafts.all.at[i]->kernel);
    }
    for (uint32_t i = 0; i < p->copied.len; i++)
        vec_push(p->ctx->arena, &p->f->kernels, copy_kernel(p, p->copied.at[i]));
}

/* ---- looking at kernels -----------------------------------------------------------------------
 */

bool plan_accumulates(const Kernel *k, const Tensor *tensor) {
    for (uint32_t i = 0; i < k->nalso; i++)
        if (k->also[i].acc == tensor) return true;
    return tensor == k->acc;
}

void plan_kernel_expressions(const Kernel *k, KernelVisit *visit, void *data) {
    if (k->body) visit(data, k, k->body);
    for (uint32_t i = 0; i < k->nalso; i++) visit(data, k, k->also[i].body);
    if (k->row) visit(data, k, k->row);
    if (k->roles.a) visit(data, k, k->roles.a);
    if (k->roles.b) visit(data, k, k->roles.b);
    for (uint32_t i = 0; i < k->nstores; i++) visit(data, k, k->stores[i].value);
}
