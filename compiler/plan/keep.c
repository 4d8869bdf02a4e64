/* plan/keep.c: what recurrences keep of the operands of their contractions.
 *
 * in:   a contraction in a recurrence, and how it uses the caches
 * out:  room for a copy of all of b where that stays the same at all times: panels, as they are
 *       read, that are packed once, before the loop over time
 *
 * Reading a panel from one end to the other is what caches are made for: a matrix of 1 MB comes one
 * and a half times faster so than in rows of tiles.
 */
#include "plan/private.h"

enum {
    SHORTEST_TIME = 4, /* worth a copy that saves transposing at each time */
    ENOUGH_TURNS = 16, /* worth one of what could be read where it lies */
};

/* Is what is read the same at all times? */
static bool stays(const Planner *p, const Node *node, const Expr *read) {
    const Node *definition = map_get(&p->node_of, plan_base(p, read->read.tensor));
    if (definition && (definition->scan.group == node->scan.group || definition->is_pinned))
        return false;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        for (uint32_t t = 0; t < sub->affine.nterms; t++) {
            const Expr *atom = sub->affine.terms[t].atom;
            if (atom->kind != EX_INDEX || atom->index == node->time) return false;
            if (atom->index->extent == EXTENT_BATCH) return false;
        }
    }
    return read->read.tensor->rank <= PLAN_MOST_DIMS && !read->read.otherwise;
}

int64_t plan_turns_kept(const Planner *p, const Kernel *k, const Expr *read) {
    const Node *node = map_get(&p->node_of, k->stores[0].tensor);
    if (k->kind != KERNEL_CONTRACT || !node || !node->time) return 1;
    if (node->time->extent < SHORTEST_TIME || !stays(p, node, read)) return 1;
    return node->time->extent;
}

/* Of elements, or of pairs of them. */
static int64_t units_of_sum(const Function *f, const Kernel *k) {
    int64_t units = 1;
    for (uint32_t i = 0; i < k->nover; i++) {
        int64_t turns = plan_turns_of(f, k->over[i]);
        units *= k->over[i] == k->blocking.pair ? (turns + 1) / 2 : turns;
    }
    return units;
}

/* Does reading b where it lies cost more than reading panels? */
static bool pays(const Planner *p, const Kernel *k, const Roles *r, int64_t turns) {
    int64_t stride = plan_stride_along(p->f, r->b, k->vector);
    int64_t columns = (int64_t)plan_points(p, r->n, r->nn);
    if (k->blocking.pair || stride != 1 || p->options->blocks_all) return true;
    int64_t bytes = plan_footprint(p->f, r->b, NULL) * p->real_bytes;
    return turns >= ENOUGH_TURNS && columns > PLAN_TILE_VECTORS * p->lanes &&
           bytes > p->options->l1_bytes / 2;
}

void plan_keep(Planner *p, Kernel *k) {
    const Roles r = plan_oriented(k);
    Blocking *b = &k->blocking;
    if (!r.b || !k->vector || !plan_contains(r.n, r.nn, k->vector)) return;
    int64_t turns = plan_turns_kept(p, k, r.b);
    if (turns == 1 || plan_stride_along(p->f, r.b, k->vector) == 0 || !pays(p, k, &r, turns))
        return;
    int64_t columns = 1, real_bytes = b->pair ? 4 : p->real_bytes;
    int64_t lanes = p->options->vector_bytes / real_bytes;
    for (uint32_t i = 0; i < r.nbatch + r.nn; i++) {
        const Index *index = i < r.nbatch ? r.batch[i] : r.n[i - r.nbatch];
        int64_t extent = plan_turns_of(p->f, index);
        columns *= index == k->vector ? (extent + lanes - 1) / lanes * lanes : extent;
    }
    int64_t room = PLAN_MOST_VECTORS * lanes * lanes; /* behind the last panel */
    b->kept_bytes = plan_aligned((units_of_sum(p->f, k) * columns + room) * real_bytes);
    b->panel_bytes = b->rows = b->rows_bytes = b->turns = 0;
    b->workspace_bytes = b->copy_bytes;
}

void plan_place_kept(Kernel *scan) {
    int64_t at = 0;
    for (uint32_t i = 0; i < scan->nsteps; i++)
        if (scan->steps[i]->blocking.workspace_bytes > at)
            at = scan->steps[i]->blocking.workspace_bytes;
    for (uint32_t i = 0; i < scan->nsteps; i++) {
        Blocking *b = &scan->steps[i]->blocking;
        if (!b->kept_bytes) continue;
        b->kept_at = plan_aligned(at);
        at = b->kept_at + b->kept_bytes;
    }
    scan->blocking.workspace_bytes = plan_aligned(at);
}
