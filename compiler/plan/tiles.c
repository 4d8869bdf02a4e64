/* plan/tiles.c: a small model goes forward and backward for a block of examples at a time, so that
 * what is computed of them stays in the cache.
 *
 * in:   drafts in order      out: nests in the place of some of them
 *
 * A group begins with any kernel that has the examples free, and takes in what follows, free along
 * them or summing over them, until a block would not fit the second-level cache. What depends on
 * sums over all examples, as the update of a parameter and a norm by the batch, comes behind the
 * nest; what the group needs of others, before it.
 *
 * The sums are those of a fixed number of parts of the examples: within a part each block adds to
 * them, in order; a kernel behind the nest adds the parts up. Threads share the parts, and the bits
 * are the same for any number of threads.
 */
#include "plan/nest.h"

enum {
    MOST_PARTS = 8,
    LEAST_BLOCK = 64,
    MOST_BLOCK = 512,
    UNIT_BLOCK = 32,
    TEST_BLOCK = 3,
    LOOK_AHEAD = 2 * NEST_MOST_STEPS, /* drafts that do not join */
    LEAST_RATIO = 4                   /* of all that would be in memory to the cache */
};

typedef struct Tiles {
    Planner *p;
    const Map *aliased;
    Group *group;
    Map members; /* Draft* → Member* */
    Map behind;  /* Draft*, as a set: what depends on a member and is none */
    Map ready;   /* Draft*, as a set: in front of the nest */
    Vec(Draft *) totals;
    bool is_cut; /* there was no room for more members */
    int64_t parts;
    Index *number; /* of the part, in the nest */
} Tiles;

static Index *examples_of(const Member *m) {
    return m->outer[0];
}

/* ---- who joins ---------------------------------------------------------------------------------
 */

/* The draft, of those that the planner has in order, that writes it. */
static Draft *writer_of(const Tiles *t, const Tensor *tensor, const Draft *reader) {
    const Node *node = map_get(&t->p->node_of, plan_base(t->p, tensor));
    if (!node || !node->draft || node->draft == reader) return NULL;
    return node->draft->in == reader->in ? node->draft : node->draft->in->around;
}

static bool reads_own_examples(const Tiles *t, const Member *m, const Expr *read) {
    const Tensor *tensor = read->read.tensor, *base = plan_base(t->p, tensor);
    const Written *written = map_get(&t->group->written, base);
    if (!written) return false;
    if (written->is_partial || base != tensor || written->dims[0] != 0) return false;
    return nest_plain_index(read->read.subs[0]) == examples_of(m);
}

static bool may_read(const Tiles *t, const Member *m, const Reads *reads) {
    for (uint32_t r = 0; r < reads->len; r++) {
        const Draft *from = writer_of(t, reads->at[r]->read.tensor, m->draft);
        if (!from) continue;
        if (map_has(&t->behind, from)) return false;
        if (map_has(&t->members, from) && !reads_own_examples(t, m, reads->at[r])) return false;
    }
    return true;
}

/* May they be summed up block by block? */
static bool may_add(const Tiles *t, const Draft *draft) {
    for (uint32_t i = 0; i < draft->nodes.len; i++) {
        const Node *node = draft->nodes.at[i];
        bool has_order =
            map_has(&t->p->f->storage, node->result) || map_has(t->aliased, node->result);
        if (node->reduces && (node->op != REDUCE_SUM || node->target || has_order)) return false;
    }
    return true;
}

/* What is computed of sums over the examples comes behind the nest: it does not matter here. */
static void reads_of(const Tiles *t, const Member *m, Reads *reads) {
    for (uint32_t i = 0; i < m->draft->nodes.len; i++)
        if (!m->adds || m->draft->nodes.at[i]->reduces)
            plan_add_reads(t->p->ctx, m->draft->nodes.at[i], reads);
}

static bool may_join(const Tiles *t, Member *m) {
    const Kernel *k = m->draft->kernel;
    Index *free = plan_batch_among(k->free, k->nfree), *over = plan_batch_among(k->over, k->nover);
    Reads reads = {0};
    if (!nest_may_be_step(m->draft) || (free != NULL) == (over != NULL)) return false;
    m->adds = over != NULL;
    m->outer[0] = free ? free : over;
    for (uint32_t i = 0; i < m->draft->nodes.len; i++) {
        const Node *node = m->draft->nodes.at[i];
        if (node->scan.group || node->result->classes) return false;
        if (!m->adds && (node->target || node->at[0] != free)) return false;
    }
    if (m->adds && !may_add(t, m->draft)) return false;
    reads_of(t, m, &reads);
    return may_read(t, m, &reads);
}

/* Does it depend on the group, or write what may be read before it alone? */
static bool is_behind(const Tiles *t, const Draft *draft) {
    Reads reads = {0};
    if (draft->steps) return true;
    nest_reads(t->p, draft, &reads);
    for (uint32_t i = 0; i < draft->nodes.len; i++)
        if (draft->nodes.at[i]->target) return true;
    for (uint32_t r = 0; r < reads.len; r++) {
        const Draft *from = writer_of(t, reads.at[r]->read.tensor, draft);
        if (from && (map_has(&t->behind, from) || map_has(&t->members, from))) return true;
    }
    return false;
}

/* ---- does it pay? ------------------------------------------------------------------------------
 */

typedef struct Touched {
    double example; /* bytes for each example: what members read and write */
    double shared;  /* bytes that all examples use: weights, and the sums that become gradients */
} Touched;

static void touch(const Tiles *t, Map *seen, Touched *touched, const Tensor *tensor) {
    const Tensor *base = plan_base(t->p, tensor);
    if (map_has(seen, base)) return;
    map_set(t->p->ctx->scratch, seen, base, touched);
    bool is_batched = base->rank && base->dims[0] == EXTENT_BATCH;
    double bytes = (double)tensor_elements(base, 1) * (double)t->p->real_bytes;
    *(is_batched ? &touched->example : &touched->shared) += bytes;
}

static bool is_in_memory(const Tiles *t, const Tensor *tensor) {
    const Node *node = map_get(&t->p->node_of, plan_base(t->p, tensor));
    return !node || node->in_memory;
}

static Touched touched_by(const Tiles *t) {
    Touched touched = {0};
    Map seen = {0};
    for (uint32_t i = 0; i < t->group->nmembers; i++) {
        const Member *m = &t->group->members[i];
        Reads reads = {0};
        reads_of(t, m, &reads);
        for (uint32_t r = 0; r < reads.len; r++)
            if (is_in_memory(t, reads.at[r]->read.tensor))
                touch(t, &seen, &touched, reads.at[r]->read.tensor);
        for (uint32_t n = 0; n < m->draft->nodes.len; n++) {
            const Node *node = m->draft->nodes.at[n];
            if (m->adds ? node->reduces : node->in_memory) touch(t, &seen, &touched, node->result);
        }
    }
    return touched;
}

/* As many examples as the second-level cache has room for beside what all use, if that takes no
 * more than half of it; else 0. Not all of a block is there at one time. */
static int64_t block_of(const Tiles *t) {
    double cache = (double)t->p->options->l2_bytes;
    if (t->p->options->tiles_all) return TEST_BLOCK;
    Touched touched = touched_by(t);
    if (touched.shared > cache / 2) return 0;
    double room = 0.75 * cache / touched.example; /* infinite, if that is 0 */
    return room < MOST_BLOCK ? (int64_t)room / UNIT_BLOCK * UNIT_BLOCK : MOST_BLOCK;
}

static bool is_read_by_members(const Tiles *t, const Node *node) {
    for (uint32_t u = 0; u < node->uses.len; u++)
        if (!map_has(&t->members, node->uses.at[u].user->draft)) return false;
    return true;
}

/* Bytes for each example that need not be there for all of them. */
static double bytes_saved(const Tiles *t) {
    double bytes = 0;
    for (uint32_t i = 0; i < t->group->nmembers; i++) {
        const Member *m = &t->group->members[i];
        for (uint32_t n = 0; n < m->draft->nodes.len && !m->adds; n++) {
            const Node *node = m->draft->nodes.at[n];
            if (nest_may_shrink(t->p, t->aliased, node) && is_read_by_members(t, node))
                bytes += (double)tensor_elements(node->result, 1) * (double)t->p->real_bytes;
        }
    }
    return bytes;
}

/* What would be in memory for all examples is a good part of what the group touches, the more so
 * where it ends in the middle of a deep model, and does not fit the last cache, or little of it:
 * bringing it from there costs less than sums for each part, which are written and read once more.
 */
static bool pays(const Tiles *t) {
    const Group *g = t->group;
    int64_t batch = t->p->m->max_batch;
    if (g->nmembers < 2) return false;
    if (t->p->options->tiles_all) return batch > g->block;
    if (g->block < LEAST_BLOCK || batch < 2 * g->block) return false;
    double least = LEAST_RATIO * (double)t->p->options->l2_bytes, saved = bytes_saved(t);
    Touched touched = touched_by(t);
    return (t->is_cut ? 2 : 3) * saved > touched.example &&
           (double)batch * saved > least + 2 * MOST_PARTS * touched.shared;
}

static bool join(Tiles *t, Draft *draft) {
    Group *g = t->group;
    Member *m = &g->members[g->nmembers];
    t->is_cut |= g->nmembers == NEST_MOST_STEPS;
    if (g->nmembers == NEST_MOST_STEPS) return false;
    *m = (Member){.draft = draft};
    if (!may_join(t, m)) return false;
    g->nmembers++;
    int64_t block = block_of(t);
    if (!g->p->options->tiles_all && block < LEAST_BLOCK) {
        t->is_cut = true;
        g->nmembers--;
        return false;
    }
    g->block = block;
    nest_note_writes(g, m);
    map_set(t->p->ctx->scratch, &t->members, draft, m);
    return true;
}

/* The group that begins with a draft; false: there is none that pays. */
static bool grow(Tiles *t, uint32_t first) {
    Planner *p = t->p;
    t->group = ARENA_NEW(p->ctx->scratch, Group);
    *t->group = (Group){.p = p, .rows = true, .nouter = 1};
    if (!join(t, p->drafts.all.at[first])) return false;
    uint32_t end = first + 1, missed = 0;
    for (; end < p->drafts.all.len && missed < LOOK_AHEAD; end++) {
        Draft *draft = p->drafts.all.at[end];
        if (join(t, draft)) continue;
        missed++;
        if (is_behind(t, draft)) map_set(p->ctx->scratch, &t->behind, draft, draft);
    }
    return pays(t);
}

/* ---- sums over the examples --------------------------------------------------------------------
 */

static Index **with_part(const Tiles *t, const Node *node, Index *part) {
    uint32_t rank = node->result->rank;
    Index **at = ARENA_ARRAY(t->p->ctx->arena, Index *, rank + 1);
    at[0] = part;
    for (uint32_t d = 0; d < rank; d++) at[d + 1] = node->at[d];
    return at;
}

/* The node, a member's, gets a place for each part; what is returned adds these up. */
static Node *divide_sum(Tiles *t, Node *node) {
    Planner *p = t->p;
    const Tensor *sum = node->result;
    int64_t *dims = ARENA_ARRAY(p->ctx->arena, int64_t, sum->rank + 1);
    dims[0] = t->parts;
    for (uint32_t d = 0; d < sum->rank; d++) dims[d + 1] = sum->dims[d];
    const char *name = arena_printf(p->ctx->arena, "%s.parts", sum->name);
    Tensor *parts = plan_tensor(p, name, sum->rank + 1, dims, 0, sum->span);
    Node *total = arena_copy(p->ctx->scratch, node, sizeof *node);
    Index *counter = ir_index(p->ctx, "part", t->parts);
    total->body = ir_read_at(p->ctx, parts, with_part(t, node, counter));
    total->factors = NULL;
    total->nfactors = 0;
    total->uses.at = NULL;
    total->uses.len = total->uses.cap = 0;
    total->over = arena_copy(p->ctx->arena, &counter, sizeof counter);
    total->nover = 1;
    node->at = with_part(t, node, t->number);
    node->result = parts;
    node->is_root = node->is_pinned = false;
    map_set(p->ctx->scratch, &p->node_of, total->result, total);
    map_set(p->ctx->scratch, &p->node_of, parts, node);
    vec_push(p->ctx->scratch, &p->nodes, total);
    return total;
}

/* A kernel that adds up the parts of one sum. */
static Draft *new_total(Tiles *t, const Draft *like, Node *total) {
    Draft *draft = nest_new_map(t->p, like, like->kernel->free, like->kernel->nfree);
    total->draft = draft;
    vec_push(t->p->ctx->scratch, &draft->nodes, total);
    plan_kind(t->p, draft->kernel, total);
    vec_push(t->p->ctx->scratch, &t->totals, draft);
    return draft;
}

/* The member keeps its sums; the kernel that adds up the parts of the last one has the rest. */
static void divide_member(Tiles *t, Draft *draft, Drafts *before, Drafts *behind) {
    Arena *scratch = t->p->ctx->scratch;
    Vec(Node *) nodes = {0};
    for (uint32_t i = 0; i < draft->nodes.len; i++) vec_push(scratch, &nodes, draft->nodes.at[i]);
    draft->nodes.len = 0;
    Draft *last = NULL;
    for (uint32_t i = 0; i < nodes.len; i++) {
        Node *node = nodes.at[i];
        if (!node->reduces) continue;
        Node *total = divide_sum(t, node);
        if (last) last->nodes.at[0]->in_memory = true;
        last = new_total(t, draft, total);
        vec_push(scratch, &behind->all, last);
        vec_push(scratch, &draft->nodes, node);
        vec_push(scratch, &before->all, nest_zero(t->p, node, t->group->members[0].draft));
    }
    for (uint32_t i = 0; i < nodes.len; i++) {
        if (nodes.at[i]->reduces) continue;
        nodes.at[i]->draft = last;
        vec_push(scratch, &last->nodes, nodes.at[i]);
    }
}

/* ---- in order ----------------------------------------------------------------------------------
 */

/* What the members need of others, and these of others. */
static void find_ready(Tiles *t, uint32_t first) {
    Planner *p = t->p;
    Map needed = {0};
    for (uint32_t i = p->drafts.all.len; i-- > first;) {
        Draft *draft = p->drafts.all.at[i];
        const Member *m = map_get(&t->members, draft);
        if (!m && !map_has(&needed, draft)) continue;
        Reads reads = {0};
        if (m)
            reads_of(t, m, &reads);
        else
            nest_reads(p, draft, &reads);
        for (uint32_t r = 0; r < reads.len; r++) {
            const Draft *from = writer_of(t, reads.at[r]->read.tensor, draft);
            if (from) map_set(p->ctx->scratch, &needed, from, t);
        }
        if (!m) map_set(p->ctx->scratch, &t->ready, draft, draft);
    }
}

static void push_all(Planner *p, Drafts *to, const Drafts *from) {
    for (uint32_t i = 0; i < from->all.len; i++)
        vec_push(p->ctx->scratch, &to->all, from->all.at[i]);
}

static int64_t divided_up(int64_t n, int64_t by, int64_t unit) {
    int64_t each = (n + by - 1) / by;
    return (each + unit - 1) / unit * unit;
}

/* Equal parts, each of equal blocks. */
static void choose_parts(Tiles *t, Split *split) {
    Group *g = t->group;
    bool is_test = t->p->options->tiles_all;
    int64_t batch = t->p->m->max_batch, unit = is_test ? 1 : UNIT_BLOCK;
    int64_t most = is_test ? 2 : batch / LEAST_BLOCK;
    int64_t turns = divided_up(batch, most < MOST_PARTS ? most : MOST_PARTS, unit);
    t->parts = (batch + turns - 1) / turns;
    t->number = ir_index(t->p->ctx, "part", t->parts);
    g->block = divided_up(turns, (turns + g->block - 1) / g->block, unit);
    *split = (Split){
        .index = g->members[0].outer[0], .parts = t->parts, .unit = turns, .number = t->number};
}

/* The drafts from `first` on: what the nest needs, the nest, the others. Returns where the others
 * begin. */
static uint32_t make_nest(Tiles *t, uint32_t first) {
    Planner *p = t->p;
    Arena *scratch = p->ctx->scratch;
    Drafts before = {0}, behind = {0};
    Split split = {0};
    bool adds = false;
    find_ready(t, first);
    for (uint32_t i = 0; i < t->group->nmembers; i++) adds |= t->group->members[i].adds;
    if (adds) choose_parts(t, &split);
    for (uint32_t i = first; i < p->drafts.all.len; i++)
        if (map_has(&t->ready, p->drafts.all.at[i]))
            vec_push(scratch, &before.all, p->drafts.all.at[i]);
    for (uint32_t i = first; i < p->drafts.all.len; i++) {
        Draft *draft = p->drafts.all.at[i];
        const Member *m = map_get(&t->members, draft);
        if (!m && !map_has(&t->ready, draft)) vec_push(scratch, &behind.all, draft);
        if (m && m->adds) divide_member(t, draft, &before, &behind);
    }
    plan_uses(p);
    vec_push(scratch, &before.all, nest_make(t->group, t->aliased));
    Kernel *nest = before.all.at[before.all.len - 1]->kernel;
    nest->split = split;
    for (uint32_t i = 0; i < t->totals.len; i++) t->totals.at[i]->kernel->parts_of = nest;
    p->drafts.all.len = first;
    push_all(p, &p->drafts, &before);
    push_all(p, &p->drafts, &behind);
    for (uint32_t i = 0; i < p->drafts.all.len; i++) p->drafts.all.at[i]->position = i;
    for (uint32_t i = 0; i < t->group->nmembers; i++)
        t->group->members[i].draft->position = first + before.all.len - 1;
    return first + before.all.len;
}

void nest_tiles(Planner *p, const Map *aliased) {
    if (!p->options->tiles_all && p->m->max_batch < 2 * LEAST_BLOCK) return;
    plan_uses(p);
    for (uint32_t first = 0; first < p->drafts.all.len;) {
        Tiles t = {.p = p, .aliased = aliased};
        if (grow(&t, first)) {
            first = make_nest(&t, first);
            continue;
        }
        do first++; /* a group that begins in the middle of this one would not pay either */
        while (first < p->drafts.all.len && map_has(&t.members, p->drafts.all.at[first]));
    }
}
