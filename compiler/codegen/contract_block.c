/* codegen/contract_block.c: long sums in blocks.
 *
 * in:   a contraction whose operands do not fit the cache      out: loops over blocks of its
 * outermost sum around the nest, and the nest once more for the stores
 *
 * What is summed up so far lies in the workspace, in whole vectors along the columns. Elements are
 * still summed in the order of the summed indices.
 */
#include "codegen/contract.h"

/* Of the whole kernel, of which this may be a part: all parts lie as in the whole. */
static int64_t whole_turns(const Axis *axis) {
    int64_t turns = 1;
    for (uint32_t i = 0; i < axis->nmerged; i++) turns *= axis->merged[i]->extent;
    return turns;
}

int64_t contract_partial_width(const Contract *c) {
    if (!c->column) return 1;
    return (whole_turns(c->column) + c->lanes - 1) / c->lanes * c->lanes;
}

LLVMValueRef contract_partial(Contract *c, const Point *p, const Columns *columns,
                              LLVMValueRef row) {
    Gen *g = c->g;
    int64_t stride = contract_partial_width(c);
    LLVMValueRef offset = columns->at ? columns->at : gen_i64(g, 0);
    if (row)
        offset = LLVMBuildAdd(g->b, offset, LLVMBuildMul(g->b, row, gen_i64(g, stride), ""), "");
    if (c->row) stride *= whole_turns(c->row);
    const Axes *lists[] = {&c->middle, &c->outer};
    for (uint32_t l = 0; l < 2; l++)
        for (uint32_t i = lists[l]->len; i-- > 0;) {
            const Axis *axis = &lists[l]->at[i];
            LLVMValueRef at = map_get(&p->values, axis->index);
            offset = LLVMBuildAdd(g->b, offset, LLVMBuildMul(g->b, at, gen_i64(g, stride), ""), "");
            stride *= whole_turns(axis);
        }
    return gen_element_address(g, g->real, c->partial, offset);
}

/* Blocks of the plan count turns of the outermost index; an axis of several turns faster. */
int64_t contract_block_turns(const Contract *c, const Axis *axis) {
    int64_t turns = c->kernel->blocking.turns;
    for (uint32_t i = 1; i < axis->nmerged; i++) turns *= axis->merged[i]->extent;
    return turns;
}

void contract_blocks(Contract *c, const Point *outer, ContractNest *nest) {
    Gen *g = c->g;
    const Axis all = c->sums.at[0];
    Axis *axis = &c->sums.at[0];
    int64_t turns = contract_block_turns(c, &all);
    c->partial =
        gen_element_address(g, g->i8, g->workspace, gen_i64(g, c->kernel->blocking.panel_bytes));

    Loop loop = loop_begin(g, gen_i64(g, 0), all.extent, gen_i64(g, turns), "block");
    Point p = point_copy(g, outer);
    point_set_axis(g, &p, &all, loop.counter);
    bool divides = turns == 1 || (all.turns >= 0 && all.turns % turns == 0);
    LLVMValueRef rest = LLVMBuildSub(g->b, all.extent, loop.counter, "");
    LLVMValueRef full = gen_i64(g, turns);
    LLVMValueRef is_last = LLVMBuildICmp(g->b, LLVMIntSLT, rest, full, "");
    axis->turns = divides ? turns : -1;
    axis->extent = divides ? full : LLVMBuildSelect(g->b, is_last, rest, full, "");
    c->is_first = LLVMBuildICmp(g->b, LLVMIntEQ, loop.counter, gen_i64(g, 0), "");
    c->phase = PHASE_BLOCK;
    nest(c, &p);
    loop_end(g, &loop, NULL, NULL);
    *axis = all;
    c->phase = PHASE_STORES;
    nest(c, outer);
}
