/* plan/nest.h: what the files that make nests share. Private to them.
 *
 *   nest.c   groups of kernels whose turns touch little
 *   tiles.c  groups that are done for a block of examples at a time
 *   rows.c   groups in which what is long in two indices is there for a block of rows alone
 *   again.c  what such a group computes once more instead of reading it
 *   steps.c  a group becomes a nest
 *   band.c   what its steps leave out
 */
#ifndef DLC_PLAN_NEST_H
#define DLC_PLAN_NEST_H

#include "plan/private.h"

enum { NEST_MOST_OUTER = 6, NEST_MOST_STEPS = 64 };

typedef struct Member {
    Draft *draft;
    Index *outer[NEST_MOST_OUTER]; /* its own index for each outer loop */
    bool adds; /* it sums along the rows: each block adds to what the ones before it made */
} Member;

/* The dimension of a tensor that each outer loop runs over. */
typedef struct Written {
    uint32_t dims[NEST_MOST_OUTER];
    bool is_partial; /* it is there only when all rows are done */
} Written;

typedef struct Group {
    Planner *p;
    Member members[NEST_MOST_STEPS];
    uint32_t nmembers, nouter;
    bool rows;     /* the last outer loop goes in blocks of rows of contractions */
    int64_t block; /* of the last outer loop; 0: its index is a number */
    bool is_placed;
    Map written; /* Tensor* → Written* */
} Group;

/* ---- nest.c ---- */
/* The index, if the subscript is one and nothing else. */
Index *nest_plain_index(const Expr *sub);
void nest_reads(Planner *p, const Draft *draft, Reads *reads);
bool nest_may_be_step(const Draft *draft);
/* Notes what the member writes. */
void nest_note_writes(Group *g, const Member *m);
/* It would be computed where the group begins: is all that it reads there? */
bool nest_may_move(const Group *g, const Draft *draft, const Reads *reads);

/* ---- tiles.c ---- */
/* Makes nests of the groups it finds among the drafts. */
void nest_tiles(Planner *p, const Map *aliased);

/* ---- rows.c ---- */
/* Makes nests of the groups it finds among the drafts. */
void nest_rows(Planner *p, const Map *aliased);

/* ---- again.c ---- */
/* Can the group compute again what another one, of the same outer loops, writes? */
bool nest_may_again(const Group *g, const Group *other, const Tensor *tensor);
/* Members at the beginning that compute what is read of other groups, where then nobody reads it
 * from memory. group_of: Draft* → Group*. The uses are those of before. */
void nest_compute_again(Group *g, const Map *group_of);

/* ---- band.c ---- */
/* Sets Kernel.band of the steps of a nest of blocks of rows. */
void nest_bands(const Group *g, const Draft *nest);

/* ---- steps.c ---- */
typedef const Expr *NestChange(void *data, const Expr *e);
/* The read of another tensor at the same place: its dimension d is dims[d] of what is read (NULL:
 * d). Reads within it are changed as well. */
const Expr *nest_read_of(Ctx *ctx, const Expr *read, Tensor *tensor, const uint32_t *dims,
                         NestChange *change, void *data);
/* What the kernel sums up, in other terms. */
void nest_change_kernel(Kernel *k, NestChange *change, void *data);
/* A kernel of elements, at the place of another one. */
Draft *nest_new_map(Planner *p, const Draft *like, Index **free, uint32_t nfree);
/* Sets to 0, before the nest whose first member is given, what the node then sums up there block by
 * block. */
Draft *nest_zero(Planner *p, Node *node, const Draft *first);
/* May there be less of it than all, if few look at it? Not where another tensor lies in its memory,
 * or its dimensions have another order. aliased: tensors that have aliases. */
bool nest_may_shrink(const Planner *p, const Map *aliased, const Node *node);
/* The group as a nest, in place of its first member. */
Draft *nest_make(Group *g, const Map *aliased);

#endif
