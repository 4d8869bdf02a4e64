/* plan/winograd.c: which contractions with a window of 3 x 3 are done by Winograd's algorithm.
 *
 * in:   kernels      out: Kernel.winograd, and the workspace that it needs
 *
 * Lavin, Gray, "Fast algorithms for convolutional neural networks" (2015): a tile of t x t places
 * needs (t + 2)^2 products instead of 9 t^2, summed over the channels by as many matrix products:
 * 2.25 times fewer with t = 2, 4 times with t = 4. For that the window of each tile, the filter and
 * what the products have become are transformed by small matrices.
 *
 * Rounding: with t = 2 the matrices hold 0, 1, -1 and halves, and errors are about those of the sum
 * as written; with t = 4 they hold numbers from 1/24 to 8, and errors are about ten times larger.
 *
 * Tiles go through all three steps some at a time, so that what lies between the steps stays in the
 * nearest caches. The filter is transformed at the beginning of the kernel, or of each part of it.
 */
#include "plan/private.h"

/* ---- is it one? --------------------------------------------------------------------------------
 */

static bool take(Index **slot, Index *index) {
    if (*slot) return false;
    *slot = index;
    return true;
}

/* place + tap or place - tap, with a tap of 3 turns. */
static bool look_at_window(Winograd *w, const Kernel *k, const Expr *sub) {
    uint32_t number = w->places[0] ? 1 : 0;
    if (sub->affine.nterms != 2 || w->places[number]) return false;
    for (uint32_t t = 0; t < 2; t++) {
        const Term *term = &sub->affine.terms[t];
        Index *index = term->atom->index;
        bool is_free = plan_contains(k->free, k->nfree, index);
        if (!is_free && index->extent != 3) return false;
        if (term->coefficient != 1 && (is_free || term->coefficient != -1)) return false;
        if (!take(is_free ? &w->places[number] : &w->taps[number], index)) return false;
    }
    return true;
}

/* Each subscript of what slides: the example, a channel, or one of two windows. */
static bool look_at_sliding(Winograd *w, const Kernel *k) {
    const Expr *read = w->sliding;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        const Expr *sub = read->read.subs[d];
        Index *alone = plan_index_alone(sub);
        if (!alone && !look_at_window(w, k, sub)) return false;
        if (!alone) continue;
        bool is_free = plan_contains(k->free, k->nfree, alone);
        if (is_free && alone->extent != EXTENT_BATCH) return false;
        if (!take(is_free ? &w->batch : &w->in, alone)) return false;
    }
    return w->batch && w->in && w->places[1];
}

/* Each subscript of the filter: one of its channels, or a tap. */
static bool look_at_filter(Winograd *w) {
    const Expr *read = w->filter;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        Index *alone = plan_index_alone(read->read.subs[d]);
        if (!alone ||
            (alone != w->out && alone != w->in && alone != w->taps[0] && alone != w->taps[1]))
            return false;
    }
    return read->read.tensor->rank == 4;
}

/* Both with channels, along which what slides is adjacent. */
static bool is_possible(const Planner *p, const Kernel *k, Winograd *w) {
    if (k->kind != KERNEL_CONTRACT || !k->vector || k->blocking.pair || k->split.number)
        return false;
    const Roles r = plan_oriented(k);
    if (r.nbatch || r.nn != 1 || r.nm != 3 || r.nk != 3 || r.n[0] != k->vector) return false;
    if (!plan_is_plain(r.a) || !plan_is_plain(r.b) || r.a->read.tensor->rank != 4) return false;
    if (plan_is_rounded(p->f, r.a->read.tensor) || plan_is_rounded(p->f, r.b->read.tensor))
        return false;
    *w = (Winograd){.sliding = r.a, .filter = r.b, .out = k->vector};
    if (!look_at_sliding(w, k) || !look_at_filter(w)) return false;
    if (plan_stride_along(p->f, w->sliding, w->in) != 1) return false;
    bool has_masks = p->options->vector_bytes >= 32;
    bool is_whole = w->in->extent % p->lanes == 0 && w->out->extent % p->lanes == 0;
    return w->out->extent >= 2 && (has_masks || is_whole);
}

/* ---- does it pay? ------------------------------------------------------------------------------
 */

/* Cycles for each vector of channels, measured, of a tile and of the filter. */
typedef struct Costs {
    double window, result, filter, gathered_filter;
} Costs;

static Costs costs_of(uint32_t tile) {
    if (tile == 2) return (Costs){26, 26, 40, 170};
    return (Costs){130, 110, 110, 240};
}

static double vectors_of(const Planner *p, const Index *channels) {
    return (double)((channels->extent + p->lanes - 1) / p->lanes);
}

static int64_t tiles_along(const Winograd *w, uint32_t direction) {
    return (w->places[direction]->extent + w->tile - 1) / w->tile;
}

static int64_t tiles_of(const Planner *p, const Winograd *w) {
    return p->m->max_batch * tiles_along(w, 0) * tiles_along(w, 1);
}

double plan_winograd_cycles(const Planner *p, const Kernel *k, const Winograd *w) {
    double in = vectors_of(p, w->in), out = vectors_of(p, w->out);
    double tiles = (double)tiles_of(p, w), products = (double)((w->tile + 2) * (w->tile + 2));
    double blocks = (double)((tiles_of(p, w) + w->rows - 1) / w->rows);
    Costs costs = costs_of(w->tile);
    bool gathers = plan_stride_along(p->f, w->filter, k->vector) != 1;
    double multiplying = 1.2 * products * blocks * w->rows * (double)w->in->extent * out / 2;
    double filter = (gathers ? costs.gathered_filter : costs.filter) * (double)w->in->extent * out;
    return multiplying + tiles * (in * costs.window + out * costs.result) + filter;
}

/* As many tiles at a time as there are registers for, or fewer where few tiles would be left over.
 */
static void choose_rows(const Planner *p, Winograd *w) {
    int64_t vectors = (w->out->extent + p->lanes - 1) / p->lanes, tiles = tiles_of(p, w);
    uint32_t most = p->options->vector_bytes == 64 ? 14 : 6;
    w->columns = vectors % 2 ? 1 : 2;
    w->rows = most;
    int64_t least_done = INT64_MAX;
    for (uint32_t rows = most; 2 * rows >= most; rows--) {
        int64_t done = (tiles + rows - 1) / rows * rows;
        if (done * 10 > tiles * 11 && done >= least_done) continue;
        least_done = done;
        w->rows = rows;
        if (done * 10 <= tiles * 11) break;
    }
}

/* The transformed filter, and the windows and products of some tiles. */
static int64_t workspace_bytes(const Planner *p, const Winograd *w) {
    int64_t products = (w->tile + 2) * (w->tile + 2), lanes = p->lanes;
    int64_t in = (w->in->extent + lanes - 1) / lanes * lanes;
    int64_t out = (w->out->extent + lanes - 1) / lanes * lanes;
    int64_t reals = out * w->in->extent + w->rows * (in + w->columns * lanes);
    return products * reals * p->real_bytes;
}

static void choose(Planner *p, Kernel *k) {
    Winograd w;
    if (!is_possible(p, k, &w)) return;
    plan_cycles(p, k);
    double direct = 1.2 * plan_points(p, k->free, k->nfree) * plan_points(p, k->over, k->nover) /
                    (2.0 * (double)p->lanes);
    double best = 0.9 * direct;
    k->winograd.is_possible = true;
    for (uint32_t tile = 2; tile <= p->options->winograd; tile += 2) {
        w.tile = tile;
        w.is_possible = true;
        choose_rows(p, &w);
        double cycles = plan_winograd_cycles(p, k, &w);
        if (cycles >= best && !p->options->winograd_all) continue;
        best = cycles;
        k->winograd = w;
        k->blocking = (Blocking){.workspace_bytes = workspace_bytes(p, &w)};
    }
}

void plan_winograd(Planner *p) {
    for (uint32_t i = 0; p->options->winograd && i < p->f->kernels.len; i++)
        choose(p, p->f->kernels.at[i]);
}
