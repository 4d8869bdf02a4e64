/* codegen/winograd_filter.c: the filters of a convolution by Winograd's algorithm, transformed.
 *
 * in:   a filter in memory, in any order of its dimensions      out: code that fills the workspace
 *
 * The transform is much code and little work: it is a function for all kernels, which differ in
 * where the filter's elements lie and where the transformed ones go.
 */
#include "codegen/winograd.h"

enum {
    FILTER_FROM, /* the first tap, of the first channel of `out` and that of `in` */
    FILTER_OUT,  /* from a channel of `out` to the next, */
    FILTER_ROW,
    FILTER_COLUMN,
    FILTER_NEXT, /* and to the second channel of a pair, 0: there is none; in elements */
    FILTER_LEFT, /* channels of `out` from the first on, where they may end within the vector */
    FILTER_TO,
    FILTER_APART, /* of products, in reals */
    FILTER_PARAMS
};

typedef struct Filter {
    Gen *g;
    const Matrix *matrix;
    LLVMTypeRef element;
    uint32_t products;
    bool is_adjacent; /* channels of `out` */
    bool has_end;     /* see FILTER_LEFT */
    bool pairs;
} Filter;

int64_t winograd_steps(const Winding *x) {
    return (x->w->in->extent + x->per_unit - 1) / x->per_unit;
}

/* ---- the function ------------------------------------------------------------------------------
 */

static LLVMValueRef given(const Filter *f, unsigned param) {
    return LLVMGetParam(f->g->fn, param);
}

static LLVMValueRef tap_address(const Filter *f, LLVMValueRef from, uint32_t tap) {
    Gen *g = f->g;
    LLVMValueRef row = LLVMBuildMul(g->b, given(f, FILTER_ROW), gen_i64(g, tap / 3), "");
    LLVMValueRef column = LLVMBuildMul(g->b, given(f, FILTER_COLUMN), gen_i64(g, tap % 3), "");
    return gen_element_address(g, f->element, from, plus(g, row, column));
}

/* Of a vector of `out` and a channel of `in`. */
static void transformed(const Filter *f, LLVMValueRef from, LLVMValueRef *out) {
    Gen *g = f->g;
    LLVMValueRef taps[9], mask = NULL, zero = NULL;
    LLVMValueRef apart = gen_iota(g, g->i64, g->lanes, 1);
    apart = LLVMBuildMul(g->b, apart, gen_splat(g, given(f, FILTER_OUT), g->lanes), "");
    if (f->has_end) {
        mask = gen_lane_mask(g, given(f, FILTER_LEFT), g->lanes);
        zero = LLVMConstNull(gen_vector(g, f->element, g->lanes));
    }
    for (uint32_t i = 0; i < 9; i++) {
        LLVMValueRef tap = tap_address(f, from, i);
        LLVMValueRef places = LLVMBuildGEP2(g->b, f->element, tap, &apart, 1, "");
        taps[i] = f->is_adjacent
                      ? winograd_load(g, f->element, tap, mask)
                      : gen_real(g, gen_gather(g, f->element, places, g->lanes, mask, zero));
    }
    winograd_transform(g, f->matrix, taps, out);
}

/* Of one channel of `in`, or of two as pairs. */
static void transform_step(const Filter *f) {
    Gen *g = f->g;
    LLVMValueRef first[WINOGRAD_PRODUCTS], second[WINOGRAD_PRODUCTS], is_there = NULL;
    LLVMValueRef from = given(f, FILTER_FROM), next = given(f, FILTER_NEXT);
    transformed(f, from, first);
    if (f->pairs) {
        is_there = LLVMBuildICmp(g->b, LLVMIntNE, next, gen_i64(g, 0), "");
        transformed(f, gen_element_address(g, f->element, from, next), second);
    }
    for (uint32_t i = 0; i < f->products; i++) {
        LLVMValueRef value = f->pairs ? winograd_pair(g, first[i], second[i], is_there) : first[i];
        LLVMValueRef at = LLVMBuildMul(g->b, given(f, FILTER_APART), gen_i64(g, i), "");
        gen_store(g, ahead(g, given(f, FILTER_TO), at), value, NULL);
    }
}

static LLVMValueRef filter_function(const Filter *filter) {
    const Gen *outer = filter->g;
    LLVMTypeRef types[FILTER_PARAMS] = {outer->ptr, outer->i64, outer->i64, outer->i64,
                                        outer->i64, outer->i64, outer->ptr, outer->i64};
    const char *name =
        arena_printf(outer->ctx->arena, "filter%ux%u%s%s%s%s%s", filter->products, outer->lanes,
                     filter->element != outer->real ? ".short" : "",
                     outer->f64_real ? ".double" : "", filter->is_adjacent ? "" : ".apart",
                     filter->has_end ? ".some" : "", filter->pairs ? ".pairs" : "");
    Gen inner = *outer;
    if (gen_shared(&inner, name, inner.void_, types, FILTER_PARAMS)) return inner.fn;
    Filter f = *filter;
    f.g = &inner;
    transform_step(&f);
    LLVMBuildRetVoid(inner.b);
    LLVMDisposeBuilder(inner.b);
    return inner.fn;
}

/* ---- its calls ---------------------------------------------------------------------------------
 */

/* Taps in the order in which what slides lies: backwards where they run backwards. */
static int64_t tap_offset(const Winding *x, uint32_t direction, uint32_t tap) {
    bool is_back = winograd_coefficient(&x->sliding, x->w->taps[direction]) < 0;
    return winograd_coefficient(&x->other, x->w->taps[direction]) * (is_back ? 2 - tap : tap);
}

static LLVMValueRef first_tap(const Winding *x, LLVMTypeRef element, LLVMValueRef out,
                              LLVMValueRef in) {
    Gen *g = x->g;
    LLVMValueRef at = plus(g, times(g, out, winograd_coefficient(&x->other, x->w->out)),
                           times(g, in, winograd_coefficient(&x->other, x->w->in)));
    int64_t offset = tap_offset(x, 0, 0) + tap_offset(x, 1, 0) + x->other.offset;
    return gen_element_address(g, element, gen_base(g, x->w->other->read.tensor),
                               plus(g, at, gen_i64(g, offset)));
}

static LLVMValueRef first_place(const Winding *x, LLVMValueRef vector, LLVMValueRef step) {
    Gen *g = x->g;
    int64_t width = (int64_t)x->w->columns * g->lanes;
    LLVMValueRef block = LLVMBuildUDiv(g->b, vector, gen_i64(g, x->w->columns), "");
    LLVMValueRef number = LLVMBuildURem(g->b, vector, gen_i64(g, x->w->columns), "");
    LLVMValueRef at = times(g, block, x->products * winograd_steps(x) * width);
    at = plus(g, at, times(g, step, width));
    return ahead(g, x->others, plus(g, at, times(g, number, g->lanes)));
}

/* How far the second channel of the pair is. Behind the last of an odd number there is none. */
static LLVMValueRef next_channel(const Winding *x, LLVMValueRef in) {
    Gen *g = x->g;
    LLVMValueRef distance = gen_i64(g, winograd_coefficient(&x->other, x->w->in));
    if (!x->w->pairs || x->w->in->extent % 2 == 0) return distance;
    LLVMValueRef last = gen_i64(g, x->w->in->extent - 1);
    LLVMValueRef is_there = LLVMBuildICmp(g->b, LLVMIntSLT, in, last, "");
    return LLVMBuildSelect(g->b, is_there, distance, gen_i64(g, 0), "");
}

static int64_t tap_distance(const Winding *x, uint32_t direction) {
    return tap_offset(x, direction, 1) - tap_offset(x, direction, 0);
}

void winograd_filters(const Winding *x) {
    Gen *g = x->g;
    int64_t along = winograd_coefficient(&x->other, x->w->out);
    Filter f = {.g = g,
                .matrix = &x->algorithm.filter,
                .element = gen_element(g, x->w->other->read.tensor),
                .products = x->products,
                .is_adjacent = along == 1,
                .has_end = x->w->out->extent % g->lanes != 0,
                .pairs = x->w->pairs};
    LLVMValueRef fn = filter_function(&f), one = gen_i64(g, 1);
    int64_t width = (int64_t)x->w->columns * g->lanes, steps = winograd_steps(x);
    Loop vector = loop_begin(g, gen_i64(g, 0), gen_i64(g, x->out_lanes / g->lanes), one, "filters");
    Loop step = loop_begin(g, gen_i64(g, 0), gen_i64(g, steps), one, "filter");
    LLVMValueRef out = times(g, vector.counter, g->lanes), in = times(g, step.counter, x->per_unit);
    LLVMValueRef args[FILTER_PARAMS] = {
        [FILTER_FROM] = first_tap(x, f.element, out, in),
        [FILTER_OUT] = gen_i64(g, along),
        [FILTER_ROW] = gen_i64(g, tap_distance(x, 0)),
        [FILTER_COLUMN] = gen_i64(g, tap_distance(x, 1)),
        [FILTER_NEXT] = next_channel(x, in),
        [FILTER_LEFT] = LLVMBuildSub(g->b, gen_i64(g, x->w->out->extent), out, ""),
        [FILTER_TO] = first_place(x, vector.counter, step.counter),
        [FILTER_APART] = gen_i64(g, steps * width)};
    LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, args, FILTER_PARAMS, "");
    loop_end(g, &step, NULL, NULL);
    loop_end(g, &vector, NULL, NULL);
}
