/* codegen/winograd.h: what the files of Winograd's algorithm share. Private to them.
 *
 * With D, G, R the matrices of the algorithm, a tile of the result is R^T ((G g G^T) * (D^T d D)) R
 * for the window d and the filter g, of each pair of channels; `*` is a product element by element,
 * summed over the channels: as many matrix products as a window has elements. The gradient of the
 * filter is that of this formula: G^T ((R e R^T) * (D^T d D)) G for the gradient e of a tile of the
 * result, summed over the tiles.
 *
 * With pairs of bf16 all transforms are of f32, and what the first two give is rounded. A pair is
 * two channels of `in` that follow each other or, in the gradient, which is summed over tiles, two
 * tiles.
 *
 * A tile that reaches over the edge of the result reads its last rows and columns again: what these
 * go into is not stored, and has no gradient. Each element of the result is made in the same way
 * whatever block and part its tile is in.
 */
#ifndef DLC_CODEGEN_WINOGRAD_H
#define DLC_CODEGEN_WINOGRAD_H

#include "codegen/emit.h"

enum {
    WINOGRAD_WINDOW = 6,
    WINOGRAD_PRODUCTS = 36,
    WINOGRAD_TILE = 4,
    WINOGRAD_SUMS = 28
}; /* at most */

typedef struct Matrix {
    uint32_t rows, columns;
    const double *at;
} Matrix;

typedef struct Algorithm {
    Matrix window, filter, result; /* D^T, G, R^T */
} Algorithm;

typedef struct Winding {
    Gen *g;
    const Kernel *k;
    const Winograd *w;
    Algorithm algorithm;
    Linear sliding, other;
    Axis batch, in, out, places[2],
        taps[2];                        /* of these only those that are not summed, and batch */
    uint32_t window, products;          /* in one direction; in both */
    int64_t in_lanes, out_lanes;        /* room for the channels of a tile, whole vectors */
    int64_t tiles[2];                   /* of an example, in each direction */
    LLVMTypeRef unit;                   /* that is multiplied: a real, or a pair as i32 */
    uint32_t per_unit;                  /* elements in one */
    LLVMValueRef windows, others, sums; /* in the workspace */
    LLVMValueRef spill;                 /* results of a tile, where stores are done in a loop */
} Winding;

/* The example of a tile, from where the part begins, and its first place. */
typedef struct Tile {
    LLVMValueRef example, places[2];
} Tile;

/* A tile of an operand: its first element, and where the rows and columns of its window lie. */
typedef struct TileSource {
    Tile tile;
    LLVMValueRef base, rows[WINOGRAD_WINDOW], columns[WINOGRAD_WINDOW];
} TileSource;

/* One of the transforms that a block begins with: of an operand's tiles. */
typedef struct Stage Stage;
struct Stage {
    const Winding *x;
    const void *data;
    const Index *channels;
    LLVMValueRef to; /* in the workspace: [product][tile, or two of them][channels] */
    int64_t lanes;   /* room for the channels of a tile */
    void (*begin)(const Stage *s, TileSource *source);
    void (*transform)(const Stage *s, const TileSource *source, LLVMValueRef channel,
                      LLVMValueRef mask, LLVMValueRef *out);
};

/* winograd_tile.c: without room in the workspace. */
Winding winograd_open(Gen *g, const Kernel *k);
/* m in m^T, both row by row. */
void winograd_transform(Gen *g, const Matrix *m, LLVMValueRef *in, LLVMValueRef *out);
/* The coefficient of an index in an address. */
int64_t winograd_coefficient(const Linear *at, const Index *index);
/* Of the vector that begins at a channel: the lanes that are there. NULL: all. */
LLVMValueRef winograd_mask(Gen *g, const Index *channels, LLVMValueRef first);
/* Reals from memory, which may lie there as bf16. */
LLVMValueRef winograd_load(Gen *g, LLVMTypeRef element, LLVMValueRef address, LLVMValueRef mask);
/* Both rounded, as pairs. The second may not be there (NULL: it is): then it is zero. */
LLVMValueRef winograd_pair(Gen *g, LLVMValueRef first, LLVMValueRef second, LLVMValueRef is_there);
/* A step of the sum: units that lie at `row`, `apart` from each other, times vectors of columns. */
void winograd_step(const Winding *x, LLVMValueRef *sums, LLVMValueRef row, int64_t apart,
                   LLVMValueRef column);
/* Asks for what a tile in the row of tiles below begins with, of an operand in which this tile has
 * `high` rows: no prefetcher follows the windows. At a vector of channels of its first place. */
void winograd_prefetch(const Winding *x, const Expr *operand, LLVMValueRef at, uint32_t high);
/* Tile number .. of all examples, one after the other. */
Tile winograd_tile(const Winding *x, LLVMValueRef number);
/* For all blocks of tiles: from `first` on `count`. */
typedef void WinogradBlock(const Winding *x, const Point *p, LLVMValueRef first,
                           LLVMValueRef count);
void winograd_blocks(const Winding *x, const Point *p, WinogradBlock *body);
/* For all tiles of a block. */
void winograd_stage(const Stage *s, LLVMValueRef first, LLVMValueRef count);
/* Transforms the windows of a block. */
void winograd_windows(const Winding *x, LLVMValueRef first, LLVMValueRef count);

/* winograd_filter.c */
/* Steps of the sum over the channels. */
int64_t winograd_steps(const Winding *x);
/* The filters of all channels, transformed: in `others`, as
 * [vectors of out, a block together][product][step][lanes of the block]. */
void winograd_filters(const Winding *x);

/* winograd_gradient.c */
void winograd_gradient(const Winding *x);

static inline LLVMValueRef times(Gen *g, LLVMValueRef a, int64_t factor) {
    return LLVMBuildMul(g->b, a, gen_i64(g, factor), "");
}

static inline LLVMValueRef plus(Gen *g, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildAdd(g->b, a, b, "");
}

/* In the workspace, in which all but windows in pairs of channels are reals or as large. */
static inline LLVMValueRef ahead(Gen *g, LLVMValueRef base, LLVMValueRef elements) {
    return gen_element_address(g, g->real, base, elements);
}

#endif
