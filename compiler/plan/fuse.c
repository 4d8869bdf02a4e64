/* plan/fuse.c: which nodes are computed in one loop nest.
 *
 * in:   nodes in order      out: drafts of kernels in order, each with its nodes
 *
 * A reduction begins a kernel, or joins one that reduces over the same space, reads some of the
 * same and comes when all that it reads is there: both are then made in one pass (a max and where
 * it is, the gradients of a norm's gain and bias). An elementwise node joins the last kernel that
 * computes something it reads (as its epilogue, or as one more store of a map) when both run over
 * the same space, when it reads the kernel's own tensors at the same point only, and when all else
 * that it reads is computed by earlier kernels. Else it joins a later map that reads some of the
 * same, or begins one. The order of kernels is the order in which they were begun: always a legal
 * one.
 */
#include "plan/private.h"

enum { MOST_NODES = 32, LOOK_BACK = 8, MOST_REDUCTIONS = 4 };

/* ---- may it join? -----------------------------------------------------------------------------
 */

static bool same_space(const Kernel *k, const Node *node) {
    if (k->nfree != node->nfree) return false;
    for (uint32_t i = 0; i < k->nfree; i++)
        if (k->free[i]->extent != node->free[i]->extent) return false;
    return true;
}

/* A read of what an earlier (or later) turn of the scan computed. */
static bool is_other_turn(Planner *p, const Drafts *in, const Node *node, const Expr *read) {
    if (!in->time || !node->scan.group || node->scan.dim == UINT32_MAX) return false;
    const Expr *sub = read->read.subs[node->scan.dim];
    const Expr *distance = ir_int_sub(p->ctx, sub, ir_index_value(p->ctx, in->time));
    int64_t value;
    return ir_is_constant_int(distance, &value) && value != 0;
}

/* The draft of these that computes what is read; NULL: it is there before. */
static Draft *producer(Planner *p, const Drafts *in, const Expr *read) {
    const Node *node = map_get(&p->node_of, plan_base(p, read->read.tensor));
    if (!node || !node->draft || is_other_turn(p, in, node, read)) return NULL;
    Draft *draft = node->draft;
    if (draft->in != in) draft = draft->in->around; /* a step of a scan */
    return draft && draft->in == in ? draft : NULL;
}

static bool is_same_point(Planner *p, const Node *reader, const Expr *read) {
    const Node *node = map_get(&p->node_of, read->read.tensor);
    if (!node || node->is_alias) return false; /* other indices, perhaps; and never in a register */
    uint32_t n = 0;
    for (uint32_t d = 0; d < node->result->rank; d++) {
        const Expr *sub = read->read.subs[d];
        bool is_time = node->scan.group && d == node->scan.dim;
        Index *at = is_time ? reader->time : n < reader->nfree ? reader->free[n++] : NULL;
        if (!at || sub != ir_index_value(p->ctx, at)) return false;
    }
    return n == reader->nfree && !read->read.otherwise;
}

/* Is the old value read by the draft's nodes at the point at which the new one is stored only? */
static bool reads_at_point(Planner *p, const Draft *draft, const Tensor *target) {
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        Node *node = draft->nodes.at[i];
        Reads own = {0};
        const Reads *reads = plan_node_reads(p->ctx, node, &own);
        for (uint32_t r = 0; r < reads->len; r++) {
            if (plan_base(p, reads->at[r]->read.tensor) != target) continue;
            bool same = reads->at[r]->read.tensor == target && node->nfree == target->rank;
            if (node->reduces || !same || !plan_reads_at(reads->at[r], node->free)) return false;
        }
    }
    return true;
}

/* May the new value overwrite the old one in this draft? */
static bool may_overwrite(Planner *p, const Draft *draft, const Tensor *target) {
    const Draft *last = map_get(&draft->in->last_read, target);
    if (!last || last->position < draft->position) return true;
    return last == draft && !draft->steps && reads_at_point(p, draft, target);
}

static bool can_join(Planner *p, Draft *draft, const Node *node, const Reads *reads) {
    const Kernel *k = draft->kernel;
    if (k->kind == KERNEL_SCATTER || k->kind == KERNEL_SCAN) return false;
    if (draft->nodes.len >= MOST_NODES || !same_space(k, node)) return false;
    for (uint32_t i = 0; i < reads->len; i++) {
        Draft *from = producer(p, draft->in, reads->at[i]);
        if (!from) continue;
        if (from->position > draft->position) return false;
        if (from == draft && !is_same_point(p, node, reads->at[i])) return false;
    }
    return !node->target || may_overwrite(p, draft, node->target);
}

static bool reads_tensor(Planner *p, const Reads *reads, const Tensor *tensor) {
    for (uint32_t i = 0; i < reads->len; i++)
        if (plan_base(p, reads->at[i]->read.tensor) == tensor) return true;
    return false;
}

static bool share_reads(Planner *p, const Draft *draft, const Reads *reads) {
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        Reads own = {0};
        const Reads *others = plan_node_reads(p->ctx, draft->nodes.at[i], &own);
        for (uint32_t r = 0; r < others->len; r++)
            if (reads_tensor(p, reads, plan_base(p, others->at[r]->read.tensor))) return true;
    }
    return false;
}

/* ---- drafts -----------------------------------------------------------------------------------
 */

static Draft *new_draft(Planner *p, Drafts *in, Span span) {
    Draft *draft = ARENA_NEW(p->ctx->scratch, Draft);
    draft->kernel = ARENA_NEW(p->ctx->arena, Kernel);
    draft->kernel->span = span;
    draft->in = in;
    draft->position = in->all.len;
    vec_push(p->ctx->scratch, &in->all, draft);
    return draft;
}

static Draft *find_draft(Planner *p, Drafts *in, const Node *node, const Reads *reads) {
    Draft *last = NULL;
    for (uint32_t i = 0; i < reads->len; i++) {
        Draft *from = producer(p, in, reads->at[i]);
        if (from && (!last || from->position > last->position)) last = from;
    }
    if (last && can_join(p, last, node, reads)) return last;
    uint32_t first = last ? last->position + 1 : 0;
    for (uint32_t i = in->all.len, seen = 0; i-- > first && seen < LOOK_BACK; seen++) {
        Draft *draft = in->all.at[i];
        if (draft->kernel->kind != KERNEL_MAP || !can_join(p, draft, node, reads)) continue;
        if (node->nfree == 0 || share_reads(p, draft, reads)) return draft;
    }
    return NULL;
}

/* The node's indices become those of the kernel. */
static void rename_indices(Planner *p, Node *node, const Kernel *k) {
    Map renamed = {0};
    for (uint32_t i = 0; node->reduces && i < node->nover; i++)
        map_set(p->ctx->scratch, &renamed, node->over[i],
                (void *)ir_index_value(p->ctx, k->over[i]));
    if (node->reduces) node->over = k->over;
    for (uint32_t i = 0; i < node->nfree; i++) {
        Index *to = k->free[i];
        map_set(p->ctx->scratch, &renamed, node->free[i], (void *)ir_index_value(p->ctx, to));
        for (uint32_t d = 0; d < node->result->rank; d++)
            if (node->at[d] == node->free[i]) node->at[d] = to;
    }
    plan_substitute_node(p->ctx, node, &renamed);
    node->free = k->free;
}

static void note_reads(Planner *p, Draft *draft, const Reads *reads) {
    for (Draft *d = draft; d; d = d->in->around)
        for (uint32_t i = 0; i < reads->len; i++) {
            Tensor *tensor = plan_base(p, reads->at[i]->read.tensor);
            if (!map_has(&p->target_of, tensor)) continue;
            const Draft *last = map_get(&d->in->last_read, tensor);
            if (!last || last->position < d->position)
                map_set(p->ctx->scratch, &d->in->last_read, tensor, d);
        }
}

/* ---- reductions in one pass --------------------------------------------------------------------
 */

static bool same_extents(Index *const *a, Index *const *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (a[i]->extent != b[i]->extent) return false;
    return true;
}

/* Does the node, were its indices those of the kernel, reduce an element that the draft reduces? */
static bool reduces_same(Planner *p, const Draft *draft, const Node *node, const Reads *reads) {
    const Kernel *k = draft->kernel;
    Map renamed = {0};
    for (uint32_t i = 0; i < k->nfree; i++)
        map_set(p->ctx->scratch, &renamed, node->free[i],
                (void *)ir_index_value(p->ctx, k->free[i]));
    for (uint32_t i = 0; i < k->nover; i++)
        map_set(p->ctx->scratch, &renamed, node->over[i],
                (void *)ir_index_value(p->ctx, k->over[i]));
    Reads others = {0};
    for (uint32_t i = 0; i < draft->nodes.len; i++)
        if (draft->nodes.at[i]->reduces) plan_add_reads(p->ctx, draft->nodes.at[i], &others);
    for (uint32_t i = 0; i < reads->len; i++) {
        const Expr *read = ir_substitute(p->ctx, reads->at[i], &renamed);
        bool varies = k->nover == 0;
        for (uint32_t o = 0; o < k->nover; o++) varies |= ir_uses_index(read, k->over[o]);
        for (uint32_t r = 0; varies && r < others.len; r++)
            if (others.at[r] == read) return true;
    }
    return false;
}

static bool can_reduce_in(Planner *p, const Draft *draft, const Node *node, const Reads *reads) {
    const Kernel *k = draft->kernel;
    if (k->nalso + 2 > MOST_REDUCTIONS || draft->nodes.len >= MOST_NODES) return false;
    if (!same_space(k, node) || k->nover != node->nover) return false;
    if (!same_extents(k->over, node->over, k->nover)) return false;
    for (uint32_t i = 0; i < reads->len; i++) {
        const Draft *from = producer(p, draft->in, reads->at[i]);
        if (from && from->position >= draft->position) return false;
    }
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        const Tensor *target = draft->nodes.at[i]->target;
        if (target && reads_tensor(p, reads, target)) return false;
    }
    return reduces_same(p, draft, node, reads);
}

static Draft *find_reduction(Planner *p, const Drafts *in, const Node *node, const Reads *reads) {
    for (uint32_t i = 0; i < reads->len; i++) {
        Draft *draft = map_get(&in->reduced_in, plan_base(p, reads->at[i]->read.tensor));
        if (draft && can_reduce_in(p, draft, node, reads)) return draft;
    }
    return NULL;
}

static void note_reduction(Planner *p, Draft *draft, const Reads *reads) {
    for (uint32_t i = 0; i < reads->len; i++)
        map_set(p->ctx->scratch, &draft->in->reduced_in, plan_base(p, reads->at[i]->read.tensor),
                draft);
}

static void add_reduction(Planner *p, Draft *draft, Node *node) {
    Kernel *k = draft->kernel, own = {.free = k->free, .nfree = k->nfree};
    rename_indices(p, node, k);
    plan_kind(p, &own, node);
    if (!k->also) k->also = ARENA_ARRAY(p->ctx->arena, Reduction, MOST_REDUCTIONS);
    k->also[k->nalso++] = (Reduction){own.op, own.body, own.acc};
}

static Draft *place_reduction(Planner *p, Drafts *in, Node *node, const Reads *reads) {
    Kernel own = {.free = node->free, .nfree = node->nfree};
    plan_kind(p, &own, node);
    bool may_join = own.kind == KERNEL_REDUCE || plan_reads_once(&own);
    Draft *draft = may_join ? find_reduction(p, in, node, reads) : NULL;
    if (draft) {
        add_reduction(p, draft, node);
    } else {
        draft = new_draft(p, in, node->span);
        own.span = node->span;
        *draft->kernel = own;
        if (own.kind != KERNEL_REDUCE) return draft;
    }
    note_reduction(p, draft, reads);
    return draft;
}

/* ---- in order ---------------------------------------------------------------------------------
 */

static Draft *place_elementwise(Planner *p, Drafts *in, Node *node, const Reads *reads) {
    Draft *draft = find_draft(p, in, node, reads);
    if (draft) {
        rename_indices(p, node, draft->kernel);
        return draft;
    }
    draft = new_draft(p, in, node->span);
    draft->kernel->free = node->free;
    draft->kernel->nfree = node->nfree;
    draft->kernel->kind = KERNEL_MAP;
    return draft;
}

static void place(Planner *p, Drafts *in, Node *node) {
    Reads own = {0};
    const Reads *reads = plan_node_reads(p->ctx, node, &own);
    Draft *draft =
        node->reduces ? place_reduction(p, in, node, reads) : place_elementwise(p, in, node, reads);
    node->draft = draft;
    vec_push(p->ctx->scratch, &draft->nodes, node);
    note_reads(p, draft, reads);
}

/* ---- recurrences ------------------------------------------------------------------------------
 */

static void set_time(Planner *p, Node *node, Index *time) {
    Map renamed = {0};
    map_set(p->ctx->scratch, &renamed, node->time, (void *)ir_index_value(p->ctx, time));
    plan_substitute_node(p->ctx, node, &renamed);
    if (node->scan.dim != UINT32_MAX) node->at[node->scan.dim] = time;
    node->time = time;
}

static uint32_t place_scan(Planner *p, uint32_t first) {
    Node *node = p->nodes.at[first];
    Draft *scan = new_draft(p, &p->drafts, node->span);
    scan->steps = ARENA_NEW(p->ctx->scratch, Drafts);
    scan->steps->time = node->time;
    scan->steps->around = scan;
    scan->kernel->kind = KERNEL_SCAN;
    scan->kernel->time = node->time;
    scan->kernel->direction = node->scan.direction;
    uint32_t end = first, group = node->scan.group;
    for (; end < p->nodes.len && p->nodes.at[end]->scan.group == group; end++) {
        node = p->nodes.at[end];
        if (node->time != scan->kernel->time) set_time(p, node, scan->kernel->time);
        place(p, scan->steps, node);
    }
    return end;
}

bool plan_may_overwrite(Planner *p, const Node *node) {
    return !node->is_root && may_overwrite(p, node->draft, node->target);
}

void plan_fuse(Planner *p) {
    for (uint32_t i = 0; i < p->nodes.len;) {
        if (p->nodes.at[i]->scan.group)
            i = place_scan(p, i);
        else
            place(p, &p->drafts, p->nodes.at[i++]);
    }
}
