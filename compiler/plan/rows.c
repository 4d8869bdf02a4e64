/* plan/rows.c: groups of kernels in which what is long in two indices, as scores of an attention,
 * is there for a block of rows alone.
 *
 * in:   drafts in order      out: nests in the place of some of them
 *
 * A group begins with a contraction whose result is much more than its operands, for one turn of
 * the indices of both: with rows along one of its other indices. Kernels that read what the group
 * writes, at the same row, join it with this row as an index of theirs, or sum along it: a sum is
 * zero before the nest, and each block adds to it, one after the other. All of a row is there at
 * once, so that a softmax is computed as everywhere else; a block has as many rows as the
 * second-level cache has room for.
 */
#include "plan/nest.h"

#include <math.h>
#include <string.h>

enum {
    LOOK_AHEAD = 12,
    LEAST_ROWS = 8,
    MOST_ROWS = 64,
    UNIT_ROWS = 8,
    LEAST_RATIO = 2 /* of a result to the operands */
};

typedef struct Rows {
    Planner *p;
    const Map *aliased;
    Map group_of; /* Draft* → Group* */
    Map behind;   /* Draft* → Draft* of what is computed of its sums along the rows */
    Vec(Group *) groups;
} Rows;

static Index *row_of(const Group *g, const Member *m) {
    return m->outer[g->nouter - 1];
}

/* ---- what is long ------------------------------------------------------------------------------
 */

/* Bytes of the node's result for one row of the member; 0 where it has none or is one number. */
static double row_bytes(const Group *g, const Member *m, const Node *node) {
    if (!node->in_memory || node->is_pinned ||
        !plan_contains(node->at, node->result->rank, row_of(g, m)))
        return 0;
    double elements =
        plan_points(g->p, node->at, node->result->rank) / plan_points(g->p, m->outer, g->nouter);
    return elements > 1 ? elements * (double)g->p->real_bytes : 0;
}

static double group_row_bytes(const Group *g) {
    double bytes = 0;
    for (uint32_t i = 0; i < g->nmembers; i++) {
        const Member *m = &g->members[i];
        for (uint32_t n = 0; n < m->draft->nodes.len; n++)
            bytes += row_bytes(g, m, m->draft->nodes.at[n]);
    }
    return bytes;
}

/* Of what is read in one turn of the indices of both operands. */
static double bytes_of_turn(const Group *g, const Expr *read) {
    double bytes = (double)g->p->real_bytes;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        double reach = 1;
        for (uint32_t t = 0; t < sub->affine.nterms; t++) {
            Index *index = sub->affine.terms[t].atom->index;
            if (sub->affine.terms[t].atom->kind != EX_INDEX ||
                plan_contains(g->members[0].outer, g->nouter - 1, index))
                continue;
            reach +=
                fabs((double)sub->affine.terms[t].coefficient) * (plan_points(g->p, &index, 1) - 1);
        }
        bytes *= reach;
    }
    return bytes;
}

/* Does the first contraction make much of little? */
static bool is_long(const Group *g) {
    const Member *first = &g->members[0];
    const Roles *r = &first->draft->kernel->roles;
    if (g->p->options->rows_all) return true;
    double rows = (double)row_of(g, first)->extent, bytes = 0;
    for (uint32_t n = 0; n < first->draft->nodes.len; n++)
        bytes += rows * row_bytes(g, first, first->draft->nodes.at[n]);
    return bytes >= (double)g->p->options->l2_bytes / 8 &&
           bytes >= LEAST_RATIO * (bytes_of_turn(g, r->a) + bytes_of_turn(g, r->b));
}

/* ---- who joins ---------------------------------------------------------------------------------
 */

/* What the group, or another one that it can follow, writes. */
static const Written *written_of(const Rows *rows, const Group *g, const Tensor *tensor) {
    const Written *written = map_get(&g->written, tensor);
    if (written) return written;
    const Node *node = map_get(&g->p->node_of, tensor);
    const Group *other = node && node->draft ? map_get(&rows->group_of, node->draft) : NULL;
    if (!other || !nest_may_again(g, other, tensor)) return NULL;
    return map_get(&other->written, tensor);
}

static bool all_sums(const Draft *draft) {
    for (uint32_t i = 0; i < draft->nodes.len; i++)
        if (draft->nodes.at[i]->reduces && draft->nodes.at[i]->op != REDUCE_SUM) return false;
    return true;
}

/* May the index be the member's for outer loop o? */
static bool may_follow(const Group *g, Member *m, uint32_t o, const Index *index) {
    const Kernel *k = m->draft->kernel;
    if (!index || index->extent != g->members[0].outer[o]->extent) return false;
    if (o + 1 == g->nouter && plan_contains(k->over, k->nover, index)) {
        m->adds = true;
        return all_sums(m->draft);
    }
    if (o + 1 < g->nouter && k->kind == KERNEL_CONTRACT)
        return plan_contains(k->roles.batch, k->roles.nbatch, index);
    return plan_contains(k->free, k->nfree, index);
}

static bool follow_read(const Rows *rows, const Group *g, Member *m, const Expr *read, bool *any) {
    const Tensor *tensor = read->read.tensor, *base = plan_base(g->p, tensor);
    const Written *written = written_of(rows, g, base);
    if (!written) return true;
    if (base != tensor || written->is_partial) return false;
    for (uint32_t o = 0; o < g->nouter; o++) {
        Index *index = nest_plain_index(read->read.subs[written->dims[o]]);
        if (!may_follow(g, m, o, index)) return false;
        if (m->outer[o] && m->outer[o] != index) return false;
        m->outer[o] = index;
    }
    *any = true;
    return true;
}

static bool follow_all(const Rows *rows, const Group *g, Member *m, const Reads *reads) {
    bool any = false;
    for (uint32_t r = 0; r < reads->len; r++)
        if (!follow_read(rows, g, m, reads->at[r], &any)) return false;
    for (uint32_t o = 0; any && o < g->nouter; o++)
        for (uint32_t q = 0; q < o; q++)
            if (m->outer[o] == m->outer[q]) return false;
    return any && nest_may_move(g, m->draft, reads);
}

/* What is computed of sums along the rows comes behind the nest, so that it does not matter here.
 */
static bool follows(const Rows *rows, const Group *g, Member *m) {
    Reads sums = {0}, all = {0};
    for (uint32_t i = 0; i < m->draft->nodes.len; i++)
        if (m->draft->nodes.at[i]->reduces) plan_add_reads(g->p->ctx, m->draft->nodes.at[i], &sums);
    if (sums.len && follow_all(rows, g, m, &sums) && m->adds) return true;
    nest_reads(g->p, m->draft, &all);
    *m = (Member){.draft = m->draft};
    return follow_all(rows, g, m, &all) && !m->adds;
}

/* New values of parameters are written where they were to be; but for those behind a sum along the
 * rows, which come behind the nest. */
static bool is_free_to_move(const Draft *draft, bool adds) {
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        const Node *node = draft->nodes.at[i];
        if (node->scan.group || (node->target && (!adds || node->reduces))) return false;
        if (node->result->classes) return false;
    }
    return true;
}

static bool join(const Rows *rows, Group *g, Draft *draft) {
    Member m = {.draft = draft};
    if (g->nmembers == NEST_MOST_STEPS || !nest_may_be_step(draft)) return false;
    if (map_has(&rows->group_of, draft)) return false;
    if (!follows(rows, g, &m) || !is_free_to_move(draft, m.adds)) return false;
    g->members[g->nmembers++] = m;
    nest_note_writes(g, &m);
    return true;
}

/* ---- groups ------------------------------------------------------------------------------------
 */

/* What the first member reads of other groups is computed again for a block of its rows: they must
 * be those of the block. */
static bool first_agrees(const Rows *rows, Group *g) {
    Reads reads = {0};
    bool any = false;
    nest_reads(g->p, g->members[0].draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++)
        if (!follow_read(rows, g, &g->members[0], reads.at[r], &any)) return false;
    return true;
}

static Group *grown(const Rows *rows, uint32_t first, Index *row) {
    Planner *p = rows->p;
    Draft *draft = p->drafts.all.at[first];
    const Roles *r = &draft->kernel->roles;
    Group *g = ARENA_NEW(p->ctx->scratch, Group);
    *g = (Group){.p = p, .rows = true, .nmembers = 1};
    for (uint32_t i = 0; i < r->nbatch; i++) g->members[0].outer[g->nouter++] = r->batch[i];
    g->members[0].outer[g->nouter++] = row;
    g->members[0].draft = draft;
    if (!is_long(g) || !first_agrees(rows, g)) return NULL;
    nest_note_writes(g, &g->members[0]);
    for (uint32_t i = first + 1, missed = 0; i < p->drafts.all.len && missed <= LOOK_AHEAD; i++)
        missed += !join(rows, g, p->drafts.all.at[i]);
    return g->nmembers > 1 ? g : NULL;
}

/* ---- what comes too early ----------------------------------------------------------------------
 */

/* The drafts up to the first one of a group, of which some could follow it. */
typedef struct Early {
    const Rows *rows;
    const Group *g;
    Draft **drafts; /* in order; the last one is the group's first */
    uint32_t n;
    Map later; /* Draft*, as a set */
} Early;

static bool reads_later(const Early *e, const Reads *reads) {
    for (uint32_t r = 0; r < reads->len; r++) {
        const Node *node =
            map_get(&e->g->p->node_of, plan_base(e->g->p, reads->at[r]->read.tensor));
        if (node && node->draft && map_has(&e->later, node->draft)) return true;
    }
    return false;
}

/* Does it read what another group has for a block of rows alone, unless somebody reads it? */
static bool reads_rows(const Early *e, const Draft *draft, const Reads *reads) {
    for (uint32_t r = 0; r < reads->len && nest_may_be_step(draft); r++) {
        const Tensor *base = plan_base(e->g->p, reads->at[r]->read.tensor);
        if (!map_has(&e->g->written, base) && written_of(e->rows, e->g, base)) return true;
    }
    return false;
}

/* Does a draft that is to come later read what one that stays writes a new value of? */
static bool misses_old_value(const Early *e, const Draft *stays) {
    for (uint32_t i = 0; i < stays->nodes.len; i++) {
        const Tensor *target = stays->nodes.at[i]->target;
        for (uint32_t k = 0; target && k < e->later.len; k++) {
            Reads reads = {0};
            nest_reads(e->g->p, e->later.entries[k].key, &reads);
            for (uint32_t r = 0; r < reads.len; r++)
                if (plan_base(e->g->p, reads.at[r]->read.tensor) == target) return true;
        }
    }
    return false;
}

/* Those that could join, and all that is computed of them; false: there are none, or they may not
 * move. What a recurrence or a nest reads is not looked at: nothing moves behind one. */
static bool find_early(Early *e) {
    Planner *p = e->g->p;
    for (uint32_t i = 0; i + 1 < e->n; i++) {
        Draft *draft = e->drafts[i];
        Reads reads = {0};
        nest_reads(p, draft, &reads);
        if (reads_later(e, &reads) || reads_rows(e, draft, &reads))
            map_set(p->ctx->scratch, &e->later, draft, draft);
        else if (misses_old_value(e, draft))
            return false;
        bool is_whole = draft->steps || map_has(&e->rows->group_of, draft);
        if (is_whole && e->later.len) return false;
    }
    Reads reads = {0};
    nest_reads(p, e->drafts[e->n - 1], &reads);
    return e->later.len && !reads_later(e, &reads);
}

/* The same drafts in another order; positions[i] is that of the one at i. */
static void reorder(const Early *e, Draft *const *order, const uint32_t *positions) {
    for (uint32_t i = 0; i < e->n; i++) {
        e->drafts[i] = order[i];
        order[i]->position = positions[i];
    }
}

/* The group with members that stand before its first one, as what is summed up of the same rows as
 * another group has; these, and what is computed of them, come later then. */
static Group *with_early(const Rows *rows, Group *g, uint32_t first) {
    Arena *scratch = rows->p->ctx->scratch;
    uint32_t begin = first > LOOK_AHEAD ? first - LOOK_AHEAD : 0, at = 0;
    Early e = {rows, g, rows->p->drafts.all.at + begin, first + 1 - begin, {0}};
    if (!find_early(&e)) return g;
    Draft **before = arena_copy(scratch, e.drafts, e.n * sizeof *before);
    Draft **after = ARENA_ARRAY(scratch, Draft *, e.n);
    uint32_t *positions = ARENA_ARRAY(scratch, uint32_t, e.n);
    for (uint32_t i = 0; i < e.n; i++) positions[i] = before[i]->position;
    for (uint32_t i = 0; i < e.n; i++)
        if (!map_has(&e.later, before[i])) after[at++] = before[i];
    first = begin + at - 1;
    for (uint32_t i = 0; i < e.n; i++)
        if (map_has(&e.later, before[i])) after[at++] = before[i];
    reorder(&e, after, positions);
    Group *more = grown(rows, first, row_of(g, &g->members[0]));
    if (more && more->nmembers > g->nmembers) return more;
    reorder(&e, before, positions);
    return g;
}

/* What would be in memory for all rows otherwise does not fit the cache, one turn of the indices of
 * both operands after the other. */
static bool pays(const Group *g) {
    double rows = (double)row_of(g, &g->members[0])->extent;
    return g->p->options->rows_all ||
           rows * group_row_bytes(g) > (double)g->p->options->l2_bytes / 2;
}

static void begin(Rows *rows, uint32_t first) {
    Draft *draft = rows->p->drafts.all.at[first];
    const Roles *r = &draft->kernel->roles;
    if (map_has(&rows->group_of, draft) || !nest_may_be_step(draft)) return;
    if (draft->kernel->kind != KERNEL_CONTRACT || !is_free_to_move(draft, false)) return;
    if (r->nbatch == 0 || r->nbatch >= NEST_MOST_OUTER) return;
    Group *best = NULL;
    for (uint32_t i = 0; i < r->nm + r->nn; i++) {
        Index *row = i < r->nm ? r->m[i] : r->n[i - r->nm];
        if (row->extent == EXTENT_BATCH || row->extent < 2) continue;
        Group *g = grown(rows, first, row);
        if (g && (!best || g->nmembers > best->nmembers)) best = g;
    }
    if (!best || !pays(best)) return;
    best = with_early(rows, best, first);
    vec_push(rows->p->ctx->scratch, &rows->groups, best);
    for (uint32_t i = 0; i < best->nmembers; i++)
        map_set(rows->p->ctx->scratch, &rows->group_of, best->members[i].draft, best);
}

/* The last member that reads it. */
static uint32_t last_reader(const Group *g, const Node *node) {
    uint32_t last = 0;
    for (uint32_t i = 0; i < g->nmembers; i++)
        for (uint32_t u = 0; u < node->uses.len; u++)
            if (node->uses.at[u].user->draft == g->members[i].draft) last = i;
    return last;
}

static bool is_read_in_group(const Group *g, const Node *node) {
    for (uint32_t u = 0; u < node->uses.len; u++) {
        bool found = false;
        for (uint32_t i = 0; i < g->nmembers && !found; i++)
            found = g->members[i].draft == node->uses.at[u].user->draft;
        if (!found) return false;
    }
    return true;
}

/* May the node's values lie where those of `old` do, which the member reads for the last time? Of
 * another shape, even a smaller one, they would be at other places. */
static bool may_replace(const Group *g, uint32_t number, const Node *node, const Node *old) {
    const Draft *draft = g->members[number].draft;
    if (old->draft == draft || !is_read_in_group(g, old) || last_reader(g, old) != number)
        return false;
    Reads reads = {0};
    nest_reads(g->p, draft, &reads);
    for (uint32_t r = 0; r < reads.len; r++)
        if (reads.at[r]->read.tensor == old->result && !plan_reads_at(reads.at[r], node->at))
            return false;
    const Tensor *a = old->result, *b = node->result;
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

static bool is_replaced(const Draft *draft, const Node *old) {
    for (uint32_t n = 0; n < draft->nodes.len; n++)
        if (draft->nodes.at[n]->replaces == old) return true;
    return false;
}

/* What is computed place by place of what is then no longer read lies in its place. */
static void replace(const Group *g, uint32_t number) {
    const Member *m = &g->members[number];
    Reads reads = {0};
    if (m->draft->kernel->kind != KERNEL_MAP) return;
    nest_reads(g->p, m->draft, &reads);
    for (uint32_t n = 0; n < m->draft->nodes.len; n++) {
        Node *node = m->draft->nodes.at[n];
        if (row_bytes(g, m, node) == 0 || !is_read_in_group(g, node)) continue;
        for (uint32_t r = 0; r < reads.len && !node->replaces; r++) {
            const Tensor *tensor = reads.at[r]->read.tensor;
            Node *old = map_get(&g->p->node_of, tensor);
            if (!old || old->result != tensor || !map_has(&g->written, tensor)) continue;
            if (is_replaced(m->draft, old) || !may_replace(g, number, node, old)) continue;
            node->replaces = old;
        }
    }
}

/* What a row has at one time, at most. */
static double live_row_bytes(const Group *g) {
    double live[NEST_MOST_STEPS] = {0}, most = 0;
    for (uint32_t i = 0; i < g->nmembers; i++) {
        const Member *m = &g->members[i];
        for (uint32_t n = 0; n < m->draft->nodes.len; n++) {
            const Node *node = m->draft->nodes.at[n];
            for (uint32_t k = i + (node->replaces != NULL); k <= last_reader(g, node); k++)
                live[k] += row_bytes(g, m, node);
        }
    }
    for (uint32_t i = 0; i < g->nmembers; i++)
        if (live[i] > most) most = live[i];
    return most;
}

/* As many rows as half the second-level cache has room for; of equal blocks, if there are such. */
static int64_t block_of(const Group *g) {
    int64_t rows = row_of(g, &g->members[0])->extent, most = MOST_ROWS;
    if (g->p->options->rows_all) return rows > 5 ? 5 : rows;
    double room = (double)g->p->options->l2_bytes / 2, bytes = live_row_bytes(g);
    while (most > LEAST_ROWS && (double)most * bytes > room) most -= UNIT_ROWS;
    if (rows <= most) return rows;
    for (int64_t block = most; block >= LEAST_ROWS && 2 * block >= most; block -= UNIT_ROWS)
        if (rows % block == 0) return block;
    return most;
}

/* ---- sums along the rows -----------------------------------------------------------------------
 */

/* What is computed of sums along the rows becomes a kernel of its own. */
static void split_behind(Rows *rows, Draft *draft) {
    Draft *map = nest_new_map(rows->p, draft, draft->kernel->free, draft->kernel->nfree);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        Node *node = draft->nodes.at[i];
        if (node->reduces) {
            draft->nodes.at[kept++] = node;
            continue;
        }
        node->draft = map;
        vec_push(rows->p->ctx->scratch, &map->nodes, node);
    }
    draft->nodes.len = kept;
    if (map->nodes.len) map_set(rows->p->ctx->scratch, &rows->behind, draft, map);
}

/* ---- in order ----------------------------------------------------------------------------------
 */

/* The nest, behind what it needs. */
static void place_group(Rows *rows, Group *g, Drafts *all) {
    Arena *scratch = rows->p->ctx->scratch;
    const Draft *first = g->members[0].draft;
    for (uint32_t i = 0; i < g->nmembers; i++) {
        Draft *draft = g->members[i].draft;
        if (!g->members[i].adds) continue;
        split_behind(rows, draft);
        for (uint32_t n = 0; n < draft->nodes.len; n++)
            vec_push(scratch, &all->all, nest_zero(rows->p, draft->nodes.at[n], first));
    }
    vec_push(scratch, &all->all, nest_make(g, rows->aliased));
}

static void make_nests(Rows *rows) {
    Planner *p = rows->p;
    Drafts all = p->drafts;
    all.all.at = NULL;
    all.all.len = all.all.cap = 0;
    for (uint32_t i = 0; i < p->drafts.all.len; i++) {
        Draft *draft = p->drafts.all.at[i];
        Group *g = map_get(&rows->group_of, draft);
        if (!g) vec_push(p->ctx->scratch, &all.all, draft);
        if (!g) continue;
        if (!g->is_placed) place_group(rows, g, &all);
        g->is_placed = true;
        Draft *map = map_get(&rows->behind, draft);
        if (map) vec_push(p->ctx->scratch, &all.all, map);
    }
    p->drafts.all.at = all.all.at;
    p->drafts.all.len = all.all.len;
    p->drafts.all.cap = all.all.cap;
}

void nest_rows(Planner *p, const Map *aliased) {
    Rows rows = {.p = p, .aliased = aliased};
    for (uint32_t i = 0; i < p->drafts.all.len; i++) begin(&rows, i);
    if (rows.groups.len == 0) return;
    for (uint32_t i = 0; i < rows.groups.len; i++)
        nest_compute_again(rows.groups.at[i], &rows.group_of);
    plan_uses(p);
    for (uint32_t i = 0; i < rows.groups.len; i++) {
        Group *g = rows.groups.at[i];
        for (uint32_t k = 0; k < g->nmembers && !p->options->bf16; k++) replace(g, k);
        g->block = block_of(g);
    }
    make_nests(&rows);
}
