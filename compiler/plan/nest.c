/* plan/nest.c: kernels one after the other that go through the same outer indices become the steps
 * of one nest: for each row (or channel, or head) all of them are done before the next one begins,
 * so that what one writes the others find in the nearest cache.
 *
 * in:   drafts in order, what is written in place      out: fewer drafts, some with steps
 *
 * Invariant: what a step writes has an index of its own for each outer loop, and every step reads
 * it at the very values of these loops. So the turns of the outer loops do not depend on each
 * other, and inside of a turn the order of the steps is that of the kernels.
 *
 * What only the steps of one nest read needs no more room than a turn: scores of one head, not of
 * all.
 *
 * A contraction takes part along indices of both its operands alone: along others it would lose
 * what it reads more than once.
 */
#include "plan/nest.h"

enum { MOST_STEPS = 12, LOOK_AHEAD = 4, LEAST_INNER = 32, MOST_BLOCK = 32, LEAST_BLOCK = 4 };

Index *nest_plain_index(const Expr *sub) {
    return sub->affine.offset == 0 ? plan_index_alone(sub) : NULL;
}

void nest_reads(Planner *p, const Draft *draft, Reads *reads) {
    for (uint32_t i = 0; i < draft->nodes.len; i++)
        plan_add_reads(p->ctx, draft->nodes.at[i], reads);
}

/* ---- candidates -------------------------------------------------------------------------------
 */

bool nest_may_be_step(const Draft *draft) {
    KernelKind kind = draft->kernel->kind;
    if (draft->nest || draft->steps) return false;
    return kind == KERNEL_MAP || kind == KERNEL_REDUCE || kind == KERNEL_CONTRACT;
}

static bool may_be_outer(const Kernel *k, const Index *index) {
    if (!index) return false;
    if (k->kind == KERNEL_CONTRACT) return plan_contains(k->roles.batch, k->roles.nbatch, index);
    return plan_contains(k->free, k->nfree, index);
}

/* ---- what the group writes --------------------------------------------------------------------
 */

static void note_write(Group *g, const Member *m, Tensor *tensor, Index *const *at) {
    Written *written = ARENA_NEW(g->p->ctx->scratch, Written);
    written->is_partial = m->adds;
    for (uint32_t o = 0; o < g->nouter; o++)
        for (uint32_t d = 0; d < tensor->rank; d++)
            if (at[d] == m->outer[o]) written->dims[o] = d;
    map_set(g->p->ctx->scratch, &g->written, tensor, written);
}

void nest_note_writes(Group *g, const Member *m) {
    for (uint32_t i = 0; i < m->draft->nodes.len; i++) {
        const Node *node = m->draft->nodes.at[i];
        note_write(g, m, node->result, node->at);
        Tensor *target = map_get(&g->p->in_place, node->result);
        if (target) note_write(g, m, target, node->at);
    }
}

/* ---- may it join? -----------------------------------------------------------------------------
 */

/* Finds the index of m for each outer loop from what it reads of the group; fits[o] becomes false
 * where there is none. False: it reads nothing, or in a way that cannot be followed. */
static bool match(Group *g, Member *m, bool *fits) {
    Reads reads = {0};
    nest_reads(g->p, m->draft, &reads);
    bool found = false;
    for (uint32_t o = 0; o < g->nouter; o++) m->outer[o] = NULL, fits[o] = true;
    for (uint32_t r = 0; r < reads.len; r++) {
        const Tensor *tensor = reads.at[r]->read.tensor;
        const Written *written = map_get(&g->written, plan_base(g->p, tensor));
        if (!written) continue;
        if (plan_base(g->p, tensor) != tensor) return false;
        found = true;
        for (uint32_t o = 0; o < g->nouter; o++) {
            Index *index = nest_plain_index(reads.at[r]->read.subs[written->dims[o]]);
            bool is_whole = index && index->extent == g->members[0].outer[o]->extent;
            if (!is_whole || !may_be_outer(m->draft->kernel, index)) fits[o] = false;
            if (m->outer[o] && m->outer[o] != index) fits[o] = false;
            m->outer[o] = index;
        }
    }
    for (uint32_t o = 0; o < g->nouter; o++)
        for (uint32_t q = 0; q < o; q++)
            if (fits[o] && fits[q] && m->outer[o] == m->outer[q]) return false;
    return found;
}

/* Does the member read the tensor, which another one overwrites, at its own outer indices only? */
static bool reads_own(Group *g, const Member *m, const Tensor *target, const Written *written) {
    Reads reads = {0};
    nest_reads(g->p, m->draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++) {
        const Tensor *tensor = reads.at[r]->read.tensor;
        if (plan_base(g->p, tensor) != target) continue;
        if (tensor != target) return false;
        for (uint32_t o = 0; o < g->nouter; o++)
            if (nest_plain_index(reads.at[r]->read.subs[written->dims[o]]) != m->outer[o])
                return false;
    }
    return true;
}

/* What m overwrites must not be what a step before it reads in another turn. */
static bool overwrites_own(Group *g, const Member *m) {
    for (uint32_t i = 0; i < m->draft->nodes.len; i++) {
        const Node *node = m->draft->nodes.at[i];
        Tensor *target = map_get(&g->p->in_place, node->result);
        if (!target) continue;
        Written written = {0};
        for (uint32_t o = 0; o < g->nouter; o++)
            for (uint32_t d = 0; d < target->rank; d++)
                if (node->at[d] == m->outer[o]) written.dims[o] = d;
        for (uint32_t k = 0; k < g->nmembers; k++)
            if (!reads_own(g, &g->members[k], target, &written)) return false;
        if (!reads_own(g, m, target, &written)) return false;
    }
    return true;
}

bool nest_may_move(const Group *g, const Draft *draft, const Reads *reads) {
    const Draft *first = g->members[0].draft;
    for (uint32_t r = 0; r < reads->len; r++) {
        const Node *node = map_get(&g->p->node_of, plan_base(g->p, reads->at[r]->read.tensor));
        if (!node || !node->draft || node->draft == draft) continue;
        const Draft *from = node->draft;
        if (from->in != draft->in) from = from->in->around;
        bool is_member = false;
        for (uint32_t k = 0; k < g->nmembers; k++) is_member |= g->members[k].draft == from;
        if (!is_member && from->position > first->position) return false;
    }
    if (draft->position == first->position + g->nmembers) return true; /* nothing is between */
    for (uint32_t i = 0; i < draft->nodes.len; i++)
        if (draft->nodes.at[i]->target) return false;
    return true;
}

/* ---- does it lie in one piece? ----------------------------------------------------------------
 */

/* The place of a dimension in memory, 0 being the outermost. */
static uint32_t place_of(const Planner *p, const Tensor *tensor, uint32_t dim) {
    const uint32_t *order = map_get(&p->f->storage, tensor);
    for (uint32_t d = 0; order && d < tensor->rank; d++)
        if (order[d] == dim) return d;
    return dim;
}

/* Are the dimensions with outer indices the first ones in memory? Then a turn reads or writes one
 * piece of it, which the cache holds whatever lies around it. */
static bool is_piece(const Group *g, const Member *m, const Expr *read) {
    const Tensor *tensor = read->read.tensor;
    uint32_t n = 0, last = 0;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        bool is_outer = false;
        for (uint32_t o = 0; o < g->nouter; o++)
            is_outer |= ir_uses_index(read->read.subs[d], m->outer[o]);
        if (!is_outer || tensor->dims[d] == 1) continue;
        uint32_t place = place_of(g->p, tensor, d);
        if (place >= last) last = place + 1;
        n++;
    }
    for (uint32_t d = 0; d < tensor->rank; d++)
        n += tensor->dims[d] == 1 && place_of(g->p, tensor, d) < last;
    return n >= last;
}

static bool in_pieces(const Group *g, const Member *m) {
    Reads reads = {0};
    nest_reads(g->p, m->draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++)
        if (!is_piece(g, m, reads.at[r])) return false;
    for (uint32_t n = 0; n < m->draft->nodes.len; n++) {
        const Node *node = m->draft->nodes.at[n];
        if (!is_piece(g, m, ir_read_at(g->p->ctx, node->result, node->at))) return false;
    }
    return true;
}

/* ---- does it pay? -----------------------------------------------------------------------------
 */

/* Points of one turn of the outer loops. */
static double inner_points(const Group *g, const Member *m) {
    const Kernel *k = m->draft->kernel;
    return plan_points(g->p, k->free, k->nfree) * plan_points(g->p, k->over, k->nover) /
           plan_points(g->p, m->outer, g->nouter);
}

static double most_inner(const Group *g) {
    double most = 0;
    for (uint32_t i = 0; i < g->nmembers; i++) {
        double inner = inner_points(g, &g->members[i]);
        if (inner > most) most = inner;
    }
    return most;
}

/* A tensor that the members touch. */
typedef struct Touched {
    double bytes, turn; /* all of it, and what one turn of the outer loops touches */
    const Member *last;
    bool again; /* by more than one member */
} Touched;

static double bytes_of(const Group *g, const Tensor *tensor) {
    return (double)tensor_elements(tensor, g->p->m->max_batch) * (double)g->p->real_bytes;
}

static void touch(const Group *g, Map *all, const Member *m, const Tensor *tensor, double turns) {
    const Tensor *base = plan_base(g->p, tensor);
    Touched *touched = map_get(all, base);
    if (!touched) {
        touched = ARENA_NEW(g->p->ctx->scratch, Touched);
        *touched = (Touched){.bytes = bytes_of(g, base), .last = m};
        map_set(g->p->ctx->scratch, all, base, touched);
    }
    touched->again |= touched->last != m;
    touched->last = m;
    if (touched->bytes / turns > touched->turn) touched->turn = touched->bytes / turns;
}

static void touch_member(const Group *g, Map *all, const Member *m) {
    Reads reads = {0};
    nest_reads(g->p, m->draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++) {
        double turns = 1;
        for (uint32_t o = 0; o < g->nouter; o++)
            if (ir_uses_index(reads.at[r], m->outer[o]))
                turns *= plan_points(g->p, &m->outer[o], 1);
        touch(g, all, m, reads.at[r]->read.tensor, turns);
    }
    for (uint32_t n = 0; n < m->draft->nodes.len; n++)
        if (m->draft->nodes.at[n]->in_memory)
            touch(g, all, m, m->draft->nodes.at[n]->result, plan_points(g->p, m->outer, g->nouter));
}

typedef struct Bytes {
    double again;  /* used by more than one member */
    double turn;   /* that one turn touches alone */
    double shared; /* that all turns touch */
} Bytes;

static Bytes count_bytes(const Group *g) {
    Map all = {0};
    Bytes bytes = {0};
    for (uint32_t i = 0; i < g->nmembers; i++) touch_member(g, &all, &g->members[i]);
    for (uint32_t i = 0; i < all.len; i++) {
        const Touched *touched = all.entries[i].value;
        *(touched->turn < touched->bytes ? &bytes.turn : &bytes.shared) += touched->turn;
        if (touched->again) bytes.again += touched->bytes;
    }
    return bytes;
}

/* What is one number for each turn is computed alone, not in lanes. */
static bool has_heavy_scalars(const Group *g, double inner) {
    for (uint32_t i = 0; i < g->nmembers; i++) {
        const Member *m = &g->members[i];
        if (m->draft->kernel->kind != KERNEL_MAP || inner_points(g, m) > 1) continue;
        double cost = 0;
        for (uint32_t n = 0; n < m->draft->nodes.len; n++)
            cost += plan_cost(g->p->ctx, m->draft->nodes.at[n]->body);
        if (cost > inner / 2) return true;
    }
    return false;
}

static bool pays(const Group *g) {
    const PlanOptions *options = g->p->options;
    if (options->nest_all) return true;
    double inner = most_inner(g);
    Bytes bytes = count_bytes(g);
    if (inner < LEAST_INNER || has_heavy_scalars(g, inner)) return false;
    return bytes.again > (double)options->l1_bytes &&
           bytes.turn + bytes.shared < (double)options->l2_bytes / 2;
}

/* ---- groups -----------------------------------------------------------------------------------
 */

static void keep_outer(Group *g, const bool *fits, Member *second) {
    uint32_t n = 0;
    for (uint32_t o = 0; o < g->nouter; o++) {
        if (!fits[o]) continue;
        g->members[0].outer[n] = g->members[0].outer[o];
        second->outer[n++] = second->outer[o];
    }
    g->nouter = n;
    g->written = (Map){0};
    nest_note_writes(g, &g->members[0]);
}

/* Long inner loops over what lies in one piece. */
static bool is_worth(const Group *g) {
    if (g->p->options->nest_all) return true;
    return most_inner(g) >= LEAST_INNER && in_pieces(g, &g->members[0]) &&
           in_pieces(g, &g->members[1]);
}

static bool join_first(Group *g, Member *m, const bool *fits) {
    Group before = *g;
    keep_outer(g, fits, m);
    g->members[g->nmembers++] = *m;
    while (g->nouter > 1 && !is_worth(g)) g->nouter--;
    bool good = g->nouter > 0 && is_worth(g) && overwrites_own(g, m) && pays(g);
    if (!good) *g = before;
    return good;
}

static bool join(Group *g, Draft *draft) {
    Member m = {.draft = draft};
    bool fits[NEST_MOST_OUTER], all = true;
    Reads reads = {0};
    nest_reads(g->p, draft, &reads);
    if (g->nmembers == MOST_STEPS || !nest_may_be_step(draft)) return false;
    if (!nest_may_move(g, draft, &reads)) return false;
    if (!match(g, &m, fits)) return false;
    for (uint32_t o = 0; o < g->nouter; o++) all &= fits[o];
    if (g->nmembers == 1) {
        if (!join_first(g, &m, fits)) return false;
    } else {
        if (!all || !overwrites_own(g, &m)) return false;
        if (!g->p->options->nest_all && !in_pieces(g, &m)) return false;
        g->members[g->nmembers++] = m;
        if (!pays(g)) {
            g->nmembers--;
            return false;
        }
    }
    nest_note_writes(g, &g->members[g->nmembers - 1]);
    return true;
}

static bool begin(Group *g, Draft *draft) {
    const Kernel *k = draft->kernel;
    if (!nest_may_be_step(draft)) return false;
    Member *m = &g->members[0];
    m->draft = draft;
    for (uint32_t i = 0; i < k->nfree && g->nouter < NEST_MOST_OUTER; i++)
        if (may_be_outer(k, k->free[i])) m->outer[g->nouter++] = k->free[i];
    g->nmembers = 1;
    nest_note_writes(g, m);
    return g->nouter > 0;
}

/* Rows at a time: as many as half the nearest cache holds, and 0 when these are few. */
static int64_t block_of(const Group *g) {
    const Index *last = g->members[0].outer[g->nouter - 1];
    Bytes bytes = count_bytes(g);
    double room = (double)g->p->options->l1_bytes / 2 - bytes.shared;
    if (last->extent == EXTENT_BATCH) return 0;
    for (uint32_t i = 0; i < g->nmembers; i++)
        if (g->members[i].draft->kernel->kind == KERNEL_CONTRACT) return 0;
    int64_t block = g->p->options->nest_all ? LEAST_BLOCK : MOST_BLOCK;
    while (block > 1 && (double)block * bytes.turn > room) block /= 2;
    if (block > last->extent) block = last->extent;
    return block >= LEAST_BLOCK ? block : 0;
}

void plan_nest(Planner *p) {
    Map aliased = {0};
    for (uint32_t i = 0; i < p->alias_of.len; i++)
        map_set(p->ctx->scratch, &aliased, p->alias_of.entries[i].value, p);
    nest_tiles(p, &aliased);
    nest_rows(p, &aliased);
    uint32_t kept = 0, n = p->drafts.all.len;
    for (uint32_t i = 0; i < n; i++) {
        Draft *draft = p->drafts.all.at[i];
        if (draft->nest) continue;
        Group group = {.p = p};
        if (begin(&group, draft))
            for (uint32_t j = i + 1, missed = 0; j < n && missed <= LOOK_AHEAD; j++)
                if (!join(&group, p->drafts.all.at[j])) missed++;
        if (group.nmembers > 1) group.block = block_of(&group);
        p->drafts.all.at[kept++] = group.nmembers > 1 ? nest_make(&group, &aliased) : draft;
    }
    p->drafts.all.len = kept;
}
