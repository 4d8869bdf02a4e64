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
 *
 * The gradient of the filter, where it is summed in parts of the examples, is the gradient of that
 * formula: the same matrices, transposed; sums over tiles; and one transformation at the end.
 */
#include "plan/private.h"

/* ---- is it one? --------------------------------------------------------------------------------
 */

static bool take(Index **slot, Index *index) {
    if (*slot) return false;
    *slot = index;
    return true;
}

/* Is it a place or an example, and not a tap or a channel of what slides? */
static bool is_placed(const Winograd *w, const Kernel *k, const Index *index) {
    return plan_contains(k->free, k->nfree, index) != w->is_gradient;
}

/* place + tap or place - tap, with a tap of 3 turns. */
static bool look_at_window(Winograd *w, const Kernel *k, const Expr *sub) {
    uint32_t number = w->places[0] ? 1 : 0;
    if (sub->affine.nterms != 2 || w->places[number]) return false;
    for (uint32_t t = 0; t < 2; t++) {
        const Term *term = &sub->affine.terms[t];
        Index *index = term->atom->index;
        bool is_place = is_placed(w, k, index);
        if (!is_place && index->extent != 3) return false;
        if (term->coefficient != 1 && (is_place || w->is_gradient || term->coefficient != -1))
            return false;
        if (!take(is_place ? &w->places[number] : &w->taps[number], index)) return false;
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
        bool is_batch = is_placed(w, k, alone);
        if (is_batch && alone->extent != EXTENT_BATCH) return false;
        if (!take(is_batch ? &w->batch : &w->in, alone)) return false;
    }
    return w->batch && w->in && w->places[1];
}

/* Each subscript of the other one is an index of its own: of the filter its channels and taps, of
 * the result its gradient's example, channel and places. */
static bool look_at_other(Winograd *w) {
    const Expr *read = w->other;
    Index *const *pair = w->is_gradient ? w->places : w->taps;
    const Index *first = w->is_gradient ? w->batch : w->in;
    for (uint32_t d = 0; d < read->read.tensor->rank; d++) {
        Index *alone = plan_index_alone(read->read.subs[d]);
        if (!alone) return false;
        if (alone != first && alone != pair[0] && alone != pair[1] && !take(&w->out, alone) &&
            alone != w->out)
            return false;
    }
    return read->read.tensor->rank == 4 && w->out;
}

static bool slides(const Expr *read) {
    for (uint32_t d = 0; d < read->read.tensor->rank; d++)
        if (!plan_index_alone(read->read.subs[d])) return true;
    return false;
}

/* Are the indices those of a convolution, or of the gradient of its filter? */
static bool look_at_roles(Winograd *w, const Kernel *k) {
    const Roles r = plan_oriented(k);
    if (r.nbatch || r.nk != 3 || k->nfree != 4) return false;
    *w = (Winograd){.sliding = r.a, .other = r.b};
    w->is_gradient = plan_batch_among(r.k, r.nk) != NULL;
    if (w->is_gradient && slides(r.b))
        *w = (Winograd){.sliding = r.b, .other = r.a, .is_gradient = true};
    if (!look_at_sliding(w, k) || !look_at_other(w)) return false;
    if (!w->is_gradient) return w->out == k->vector && !k->split.number;
    return (w->in == k->vector || w->out == k->vector) && k->split.number;
}

/* Both with channels, along which what is read by them is adjacent. */
static bool is_possible(const Planner *p, const Kernel *k, Winograd *w) {
    if (k->kind != KERNEL_CONTRACT || !k->vector) return false;
    const Expr *a = k->roles.a, *b = k->roles.b;
    if (!plan_is_plain(a) || !plan_is_plain(b)) return false;
    if (a->read.tensor->rank != 4 || b->read.tensor->rank != 4) return false;
    if (!look_at_roles(w, k)) return false;
    w->pairs = p->options->bf16 && p->options->pairs;
    if (plan_stride_along(p->f, w->sliding, w->in) != 1) return false;
    if (w->is_gradient && plan_stride_along(p->f, w->other, w->out) != 1) return false;
    bool has_masks = p->options->vector_bytes >= 32;
    bool is_whole = w->in->extent % p->lanes == 0 && w->out->extent % p->lanes == 0;
    return w->out->extent >= 2 && w->in->extent >= 2 && (has_masks || is_whole);
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

static double products_of(const Winograd *w) {
    return (double)((w->tile + 2) * (w->tile + 2));
}

static int64_t per_unit(const Winograd *w) {
    return w->pairs ? 2 : 1;
}

/* Vectors that are multiplied and added, for each pair of elements of the operands or each one. */
static double multiplying(const Winograd *w, double elements) {
    return products_of(w) * elements / (double)per_unit(w) / 2;
}

/* The channels along the rows of register tiles, of the gradient of a filter. */
static const Index *row_of(const Kernel *k, const Winograd *w) {
    return w->in == k->vector ? w->out : w->in;
}

static int64_t whole_rows(const Kernel *k, const Winograd *w) {
    return (row_of(k, w)->extent + w->rows - 1) / w->rows * w->rows;
}

static double gradient_cycles(const Planner *p, const Kernel *k, const Winograd *w) {
    enum { STORING = 80, SCATTERING = 250, CLEARING = 20 }; /* cycles for a vector of sums */
    bool is_whole = k->vector->extent % p->lanes == 0;
    Costs costs = costs_of(w->tile);
    double tiles = (double)tiles_of(p, w), columns = vectors_of(p, k->vector);
    double products = 1.3 * multiplying(w, tiles * (double)whole_rows(k, w) * columns);
    double results = (double)(k->split.parts * row_of(k, w)->extent) * columns;
    double transforming =
        vectors_of(p, w->in) * costs.window + vectors_of(p, w->out) * costs.result;
    return products + tiles * transforming +
           results * ((is_whole ? STORING : SCATTERING) + CLEARING + costs.filter);
}

double plan_winograd_cycles(const Planner *p, const Kernel *k, const Winograd *w) {
    if (w->is_gradient) return gradient_cycles(p, k, w);
    double in = vectors_of(p, w->in), out = vectors_of(p, w->out), tiles = (double)tiles_of(p, w);
    double blocks = (double)((tiles_of(p, w) + w->rows - 1) / w->rows);
    Costs costs = costs_of(w->tile);
    bool gathers = plan_stride_along(p->f, w->other, k->vector) != 1;
    double products = 1.2 * multiplying(w, blocks * w->rows * (double)w->in->extent * out);
    double filter = (gathers ? costs.gathered_filter : costs.filter) * (double)w->in->extent * out;
    return products + tiles * (in * costs.window + out * costs.result) + filter;
}

/* As many rows as there are registers for, or fewer if the last tile of rows would else be rather
 * empty. */
static uint32_t rows_for(int64_t all, uint32_t most) {
    uint32_t best = most;
    int64_t least_done = INT64_MAX;
    for (uint32_t rows = most; 2 * rows >= most; rows--) {
        int64_t done = (all + rows - 1) / rows * rows;
        if (done >= least_done) continue;
        least_done = done;
        best = rows;
        if (done * 10 <= all * 11) break;
    }
    return best;
}

static void choose_rows(const Planner *p, const Kernel *k, Winograd *w) {
    enum { TOGETHER = 60 }; /* not a power of 2: elements of a window would meet in the caches */
    int64_t vectors = (k->vector->extent + p->lanes - 1) / p->lanes;
    uint32_t most = p->options->vector_bytes == 64 ? 14 : 6;
    w->columns = vectors % 2 ? 1 : 2;
    if (w->is_gradient && w->columns == 1 && most == 14) most = 16;
    w->rows = rows_for(w->is_gradient ? row_of(k, w)->extent : tiles_of(p, w), most);
    w->together = w->is_gradient ? TOGETHER : w->rows;
}

/* The transformed filter, or the sums that it will be made of, and the windows and products of some
 * tiles, or the transformed tiles of the other operand. */
static int64_t workspace_bytes(const Planner *p, const Kernel *k, const Winograd *w) {
    int64_t lanes = p->lanes, unit = per_unit(w), tall = w->is_gradient ? whole_rows(k, w) : 0;
    int64_t in = (w->in->extent + lanes - 1) / lanes * lanes;
    int64_t out = (w->out->extent + lanes - 1) / lanes * lanes;
    int64_t reals =
        out * ((w->in->extent + unit - 1) / unit) + w->together * (in / unit + w->columns * lanes);
    if (w->is_gradient && w->in == k->vector)
        reals = tall * in + w->together / unit * (in + (tall > out ? tall : out));
    else if (w->is_gradient)
        reals = tall * out + w->together / unit * (out + (tall > in ? tall : in));
    return (int64_t)products_of(w) * reals * p->real_bytes;
}

static void choose(Planner *p, Kernel *k) {
    Winograd w;
    if (!is_possible(p, k, &w)) return;
    double direct = 1.2 * plan_points(p, k->free, k->nfree) * plan_points(p, k->over, k->nover) /
                    (2.0 * (double)p->lanes);
    if (k->blocking.pair) direct /= 2;
    plan_cycles(p, k);
    double best = 0.9 * direct;
    k->winograd.is_possible = true;
    uint32_t largest =
        w.pairs ? 2 : p->options->winograd; /* what rounds to bf16 has no bits left */
    for (uint32_t tile = 2; tile <= largest; tile += 2) {
        w.tile = tile;
        w.is_possible = true;
        choose_rows(p, k, &w);
        double cycles = plan_winograd_cycles(p, k, &w);
        if (cycles >= best && !p->options->winograd_all) continue;
        best = cycles;
        k->winograd = w;
        k->blocking = (Blocking){.workspace_bytes = workspace_bytes(p, k, &w)};
    }
}

void plan_winograd(Planner *p) {
    for (uint32_t i = 0; p->options->winograd && i < p->f->kernels.len; i++)
        choose(p, p->f->kernels.at[i]);
}
