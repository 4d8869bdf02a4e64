/* codegen/contract.h: what the files of the contraction generator share. Private to them.
 *
 * The nest, outer to inner:
 *
 *     [rows]    a block of the tiled rows
 *     [sums]    a block of the outermost summed index
 *     [a]       of these rows and sums is copied to panels, a tile of rows side by side
 *     outer     indices of both operands and the result, and of b and the result
 *     columns   tiles of the vectorised index
 *     [panel]   b of these columns is copied so that they are adjacent; of all columns before the
 *               loop over time, where a recurrence keeps it
 *     middle    indices of a and the result
 *     rows      tiles of one index of a and the result
 *     sums      the summed indices; rows x columns accumulators in registers
 *     stores    of the tile, behind the last block of sums
 *
 * Every element is summed in the order of the summed indices (of their vectors and then inside a
 * vector in the dot form), whatever the tiles and blocks around it are: the result does not depend
 * on the batch size.
 */
#ifndef DLC_CODEGEN_CONTRACT_H
#define DLC_CODEGEN_CONTRACT_H

#include "codegen/emit.h"

enum { CONTRACT_MAX_TILE = 28, CONTRACT_MAX_LANES = 16 };

typedef enum Form {
    FORM_OUTER,  /* columns along the lanes; a is broadcast */
    FORM_PACKED, /* the same, b is copied into a panel first */
    FORM_DOT,    /* the innermost summed index along the lanes; lanes are added up at the end */
} Form;

typedef struct Operand {
    const Tensor *tensor;
    LLVMTypeRef unit;  /* of its elements in memory; of a copy: see contract_pairs.c */
    LLVMValueRef base; /* of a copy; NULL: the tensor's own */
    Linear at;
    int64_t column, row; /* strides along the tiled axes; 0: it does not vary */
} Operand;

typedef struct Contract {
    Gen *g;
    const Kernel *kernel;
    Operand a, b;
    Axes outer, middle, sums; /* in the dot form the last sum runs along the lanes */
    uint32_t nbatch;          /* of outer: indices of both operands, which come first */
    const Axis *column, *row; /* NULL: there is none */
    bool is_whole;            /* all rows, not a part of them */
    Form form;
    uint32_t lanes;   /* of the columns; of the sum in the dot form */
    uint32_t rows;    /* of a tile */
    uint32_t columns; /* of a tile: vectors, or single ones in the dot form */
    bool pairs;       /* packed form: the last sum is taken in pairs of bf16 */
    bool is_before;   /* packs what is kept for all times, and does nothing else */
    bool by_loop;     /* stores are done in a loop over the rows of the tile, through `spill` */
    LLVMValueRef spill;
    int64_t sum;           /* most turns of the summed indices in a block */
    LLVMValueRef a_panels; /* rows of a, a tile of them side by side; NULL: where they lie */
    LLVMValueRef partial;  /* the sums so far of the block of rows; NULL: there is one block */
    LLVMValueRef is_first, is_last; /* of the blocks of the sums */
} Contract;

/* The columns of the tile at work. */
typedef struct Columns {
    LLVMValueRef at;    /* the first one; NULL without column axis */
    uint32_t count;     /* vectors, or single columns in the dot form */
    uint32_t lanes;     /* of the vectors */
    LLVMValueRef mask;  /* of the last vector; NULL: all */
    uint32_t valid;     /* lanes of the last vector, where known; else 0 */
    LLVMValueRef panel; /* packed b, count * lanes wide; NULL: b is read where it lies */
} Columns;

int64_t contract_stride(const Operand *operand, const Axis *axis);
/* As planned, where it is not known. */
int64_t contract_turns(const Gen *g, const Axis *axis);
/* Of the whole kernel, of which this may be a part. */
int64_t contract_whole_turns(const Gen *g, const Axis *axis);
/* At most, in a block of the sums. */
int64_t contract_most_turns(const Contract *c, const Axis *axis);
/* The address of the operand's element at the point; summed indices count as 0. */
LLVMValueRef contract_address(Contract *c, const Point *p, const Operand *operand);

/* contract_block.c: all blocks of rows and sums, by `nest`, which makes the loops from `outer` on.
 */
typedef void ContractNest(Contract *c, const Point *p);
void contract_blocks(Contract *c, const Point *p, ContractNest *nest);
/* The sums so far of a tile that begins at the row (NULL: 0), and how far apart its rows are. */
LLVMValueRef contract_partial(Contract *c, const Point *p, const Columns *columns,
                              LLVMValueRef row);
int64_t contract_partial_width(const Contract *c);
int64_t contract_block_turns(const Contract *c, const Axis *axis); /* of the outermost sum */

/* contract_tile.c: rows x columns elements, from the sums to the stores. */
void contract_tile(Contract *c, const Point *p, const Columns *columns, LLVMValueRef row,
                   uint32_t rows);
/* The same where the stores are done by a loop, which is made once for tiles of several sizes, the
 * last of which is one row: the first of which there are enough rows `left`. Returns its rows. */
LLVMValueRef contract_largest_tile(Contract *c, const Point *p, const Columns *columns,
                                   LLVMValueRef row, LLVMValueRef left, const uint32_t *sizes,
                                   uint32_t nsizes);
/* contract_pack.c: copies b of these columns to their panel. */
void contract_pack_columns(Contract *c, const Point *p, const Columns *columns);
/* a of all rows, tile by tile, to c->a_panels. */
void contract_pack_rows(Contract *c, const Point *p);
/* Where a row is there. Those of a tile lie side by side; a smaller tile may begin within one. */
LLVMValueRef contract_row_in_panels(Contract *c, LLVMValueRef row);
void contract_transpose(Gen *g, LLVMValueRef *vectors, uint32_t lanes);

/* contract_pairs.c: has the plan room for what is copied of a? */
bool contract_pairs_fit(Contract *c);
/* a as pairs, for the nest inside of the indices that have values; copied first if it must be. */
Operand contract_pairs_operand(Contract *c, const Point *p);
/* As contract_pack_columns, but pairs. */
void contract_pairs_pack(Contract *c, const Point *p, const Columns *columns);

#endif
