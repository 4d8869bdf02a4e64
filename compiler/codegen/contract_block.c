/* codegen/contract_block.c: contractions in blocks that caches hold.
 *
 * in:   a contraction with a plan of its blocks      out: loops over blocks of its rows and of its
 * outermost sum around the nest
 *
 * What is summed up so far lies in the workspace between the blocks of a sum, in whole vectors
 * along the columns. Elements are still summed in the order of the summed indices.
 */
#include "codegen/contract.h"

/* ---- the sums so far ----------------------------------------------------------------------------
 */

/* All parts of a kernel lie as in the whole. */
int64_t contract_partial_width(const Contract *c) {
    if (!c->column) return 1;
    return (contract_whole_turns(c->g, c->column) + c->lanes - 1) / c->lanes * c->lanes;
}

LLVMValueRef contract_partial(Contract *c, const Point *p, const Columns *columns,
                              LLVMValueRef row) {
    Gen *g = c->g;
    int64_t stride = contract_partial_width(c);
    LLVMValueRef offset = columns->at ? columns->at : gen_i64(g, 0);
    if (row)
        offset = LLVMBuildAdd(g->b, offset, LLVMBuildMul(g->b, row, gen_i64(g, stride), ""), "");
    if (c->row) stride *= contract_whole_turns(c->g, c->row);
    const Axes *lists[] = {&c->middle, &c->outer};
    for (uint32_t l = 0; l < 2; l++)
        for (uint32_t i = lists[l]->len; i-- > 0;) {
            const Axis *axis = &lists[l]->at[i];
            LLVMValueRef at = map_get(&p->values, axis->index);
            offset = LLVMBuildAdd(g->b, offset, LLVMBuildMul(g->b, at, gen_i64(g, stride), ""), "");
            stride *= contract_whole_turns(c->g, axis);
        }
    return gen_element_address(g, g->real, c->partial, offset);
}

/* ---- blocks ------------------------------------------------------------------------------------
 */

/* Turns of the axis from the counter on, at most `turns` of them, as an axis of its own. */
static Axis block_of(Gen *g, const Axis *axis, const Loop *loop, int64_t turns) {
    Axis block = *axis;
    LLVMValueRef full = gen_i64(g, turns);
    LLVMValueRef rest = LLVMBuildSub(g->b, axis->extent, loop->counter, "");
    LLVMValueRef is_less = LLVMBuildICmp(g->b, LLVMIntSLT, rest, full, "");
    bool divides = turns == 1 || (axis->turns >= 0 && axis->turns % turns == 0);
    block.turns = divides ? turns : -1;
    block.extent = divides ? full : LLVMBuildSelect(g->b, is_less, rest, full, "");
    return block;
}

static void pack_and_nest(Contract *c, const Point *p, ContractNest *nest) {
    const Operand a = c->a;
    if (c->a_panels) {
        contract_pack_rows(c, p);
        c->a.unit = c->g->real;
        c->a.row = 1;
    }
    nest(c, p);
    c->a = a;
}

/* Blocks of the plan count turns of the outermost index; an axis of several turns faster. */
int64_t contract_block_turns(const Contract *c, const Axis *axis) {
    int64_t turns = c->kernel->blocking.turns;
    for (uint32_t i = 1; i < axis->nmerged; i++) turns *= axis->merged[i]->extent;
    return turns;
}

static void blocks_of_sums(Contract *c, const Point *outer, ContractNest *nest) {
    Gen *g = c->g;
    const Axis all = c->sums.at[0];
    int64_t turns = contract_block_turns(c, &all);
    Loop loop = loop_begin(g, gen_i64(g, 0), all.extent, gen_i64(g, turns), "block");
    Point p = point_copy(g, outer);
    point_set_axis(g, &p, &all, loop.counter);
    c->sums.at[0] = block_of(g, &all, &loop, turns);
    c->is_first = LLVMBuildICmp(g->b, LLVMIntEQ, loop.counter, gen_i64(g, 0), "");
    LLVMValueRef next = LLVMBuildAdd(g->b, loop.counter, gen_i64(g, turns), "");
    c->is_last = LLVMBuildICmp(g->b, LLVMIntSGE, next, all.extent, "");
    pack_and_nest(c, &p, nest);
    loop_end(g, &loop, NULL, NULL);
    c->sums.at[0] = all;
}

static void sums_of_rows(Contract *c, const Point *p, ContractNest *nest) {
    if (c->partial)
        blocks_of_sums(c, p, nest);
    else
        pack_and_nest(c, p, nest);
}

/* Of about equal size, in whole tiles. */
static int64_t rows_of_block(const Contract *c) {
    int64_t most = c->kernel->blocking.rows, turns = contract_whole_turns(c->g, c->row);
    int64_t blocks = (turns + most - 1) / most;
    int64_t rows = (turns + blocks - 1) / blocks;
    return (rows + c->rows - 1) / c->rows * c->rows;
}

static bool is_trivial(const Axes *axes) {
    for (uint32_t i = 0; i < axes->len; i++)
        if (axes->at[i].turns != 1) return false;
    return true;
}

void contract_blocks(Contract *c, const Point *p, ContractNest *nest) {
    enum { FEW = 4 }; /* rows of a tile: they are read where they lie */
    Gen *g = c->g;
    const Blocking *b = &c->kernel->blocking;
    bool has_blocks = b->rows && c->row && is_trivial(&c->middle) && is_trivial(&c->outer);
    LLVMValueRef panels = gen_element_address(g, g->i8, g->workspace, gen_i64(g, b->panel_bytes));
    if (b->turns) c->partial = gen_element_address(g, g->i8, panels, gen_i64(g, b->rows_bytes));
    if (!has_blocks) {
        sums_of_rows(c, p, nest);
        return;
    }
    if (b->rows_bytes && c->rows >= FEW) c->a_panels = panels;
    const Axis *all = c->row;
    int64_t rows = rows_of_block(c);
    if (all->turns >= 0 && all->turns <= rows) {
        sums_of_rows(c, p, nest);
        return;
    }
    Loop loop = loop_begin(g, gen_i64(g, 0), all->extent, gen_i64(g, rows), "rows");
    Axis block = block_of(g, all, &loop, rows);
    block.first = all->first ? LLVMBuildAdd(g->b, all->first, loop.counter, "") : loop.counter;
    c->row = &block;
    sums_of_rows(c, p, nest);
    c->row = all;
    loop_end(g, &loop, NULL, NULL);
}
