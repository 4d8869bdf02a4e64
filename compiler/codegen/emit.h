/* codegen/emit.h: what the files of codegen/ share: the state of one LLVM module being built and
 * small helpers that keep the rest readable. Private to codegen/.
 */
#ifndef DLC_CODEGEN_EMIT_H
#define DLC_CODEGEN_EMIT_H

#include "codegen/codegen.h"

/* The part of an index's values that the loops go through. */
typedef struct Range {
    LLVMValueRef first, extent; /* i64 */
    int64_t turns;              /* -1: not known before it runs */
} Range;

/* The streams of a kernel's draws: which they are is an argument of its function. */
typedef struct Sites {
    uint32_t *at;
    uint32_t len, cap;
    LLVMValueRef *values; /* i64 */
} Sites;

typedef struct Gen {
    Ctx *ctx;
    const Machine *machine;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMTypeRef ptr, i1, i8, i16, i32, i64, f32, f64, void_;
    /* of the function being generated */
    const Function *function;
    bool f64_real;
    bool once;        /* it initialises: how long it takes to compile counts, not how long to run */
    LLVMTypeRef real; /* f32 or f64 */
    uint32_t lanes;   /* reals in a vector */
    LLVMValueRef fn;  /* the LLVM function the builder is in */
    LLVMValueRef call;       /* DlrtCall* */
    LLVMValueRef n;          /* i64: examples in this call */
    int64_t known_n;         /* its value, where code is made for one number of examples; else 0 */
    LLVMValueRef seed, step; /* i64 */
    Map *of_step;            /* Expr* → LLVMValueRef: functions of the step's number */
    Map base;                /* Tensor* → LLVMValueRef: pointer to its first element */
    LLVMValueRef workspace;  /* ptr */
    LLVMValueRef
        scan_turn;       /* i64: how many turns of the scan around are done; NULL: there is none */
    Map enclosing;       /* Index* → i64: the times of the scans around the current kernel */
    Map ranges;          /* Index* → Range*: of indices of which the kernel has a part */
    const Kernel *inner; /* the step of a nest that is generated; NULL: none */
    const Sites *sites;
} Gen;

/* ---- module.c: types, constants, memory ---- */
/* An empty module; gen_close gives it back, verified if the Ctx asks for it. */
Gen gen_open(Ctx *ctx, LLVMContextRef llvm, const char *name, const Machine *machine);
LLVMModuleRef gen_close(Gen *g);
void gen_reals(Gen *g, bool f64); /* sets real and lanes */
/* A function with the attributes that all have; the builder is left in it. */
LLVMValueRef gen_function(Gen *g, const char *name, LLVMTypeRef result, LLVMTypeRef *params,
                          uint32_t n);
/* For code that several kernels of the planned function share: sets fn to the function of that name
 * (within the planned function) and is true when it exists. Otherwise it is new, and a builder of
 * its own is in it, which the caller disposes of. */
bool gen_shared(Gen *g, const char *name, LLVMTypeRef result, LLVMTypeRef *params, uint32_t n);
void gen_attribute(Gen *g, LLVMValueRef fn, LLVMAttributeIndex at, const char *name, uint64_t value,
                   bool is_call);
void gen_function_attribute(Gen *g, LLVMValueRef fn, const char *name);
void gen_pure(Gen *g); /* fn computes from its parameters alone, and may be called for nothing */
LLVMTypeRef gen_vector(const Gen *g, LLVMTypeRef element,
                       uint32_t lanes);       /* lanes 1: the element itself */
uint32_t gen_lanes_of(LLVMTypeRef type);      /* 1: it is no vector */
LLVMTypeRef gen_element_of(LLVMTypeRef type); /* of a vector; or the type itself */
unsigned gen_element_bytes(LLVMTypeRef type);
/* An array of constants of the module. */
LLVMValueRef gen_table(Gen *g, const char *name, LLVMTypeRef element, LLVMValueRef *values,
                       uint32_t n);
LLVMValueRef gen_i64(const Gen *g, int64_t value);
LLVMValueRef gen_i32(const Gen *g, uint32_t value);
/* A real constant, splat over the lanes of `like` (a real or a vector of reals). */
LLVMValueRef gen_real_like(const Gen *g, LLVMValueRef like, double value);
/* An integer constant of the type of `like` (integer or vector of integers). */
LLVMValueRef gen_int_like(const Gen *g, LLVMValueRef like, int64_t value);
LLVMValueRef gen_splat(Gen *g, LLVMValueRef scalar, uint32_t lanes);
/* Calls an intrinsic; overloaded ones such as "llvm.fma" on a type, NULL for others. */
LLVMValueRef gen_intrinsic(Gen *g, const char *name, LLVMTypeRef overload, LLVMValueRef *args,
                           uint32_t nargs);
LLVMValueRef gen_fma(Gen *g, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* The number of turns of an index: a constant, or n for the batch. */
LLVMValueRef gen_extent(const Gen *g, const Index *index);
int64_t gen_turns(const Gen *g, const Index *index); /* -1: not known before it runs */
/* Masked loads and stores are instructions from AVX on; below, LLVM makes branches of them. */
bool gen_has_masks(const Gen *g);
uint32_t gen_power_of_two(int64_t n); /* the least one that is not below n */
/* <lanes x i1>: is l < active? */
LLVMValueRef gen_lane_mask(Gen *g, LLVMValueRef active, uint32_t lanes);
/* <0, step, 2*step, …> of i64 or i32. */
LLVMValueRef gen_iota(const Gen *g, LLVMTypeRef integer, uint32_t lanes, int64_t step);
LLVMValueRef gen_element_address(Gen *g, LLVMTypeRef element, LLVMValueRef base,
                                 LLVMValueRef offset); /* base + offset elements */
/* The same for a known number of elements; what is at 0 is the base itself. */
LLVMValueRef gen_ahead(Gen *g, LLVMTypeRef element, LLVMValueRef base, int64_t elements);
/* The line at the address, which need not exist, to the nearest cache or the second one. */
typedef enum Nearness { SECOND_CACHE = 2, NEAREST_CACHE } Nearness;
void gen_prefetch(Gen *g, LLVMValueRef address, Nearness to);
/* Room for so many reals while the function runs, aligned as a vector. */
LLVMValueRef gen_local(Gen *g, uint32_t reals, const char *name);
/* Consecutive elements, aligned as one element. Lanes where mask is false are not touched; they
 * read as `otherwise` (NULL: anything). mask may be NULL: all lanes. */
LLVMValueRef gen_load(Gen *g, LLVMTypeRef element, LLVMValueRef address, uint32_t lanes,
                      LLVMValueRef mask, LLVMValueRef otherwise);
void gen_store(Gen *g, LLVMValueRef address, LLVMValueRef value, LLVMValueRef mask);
/* The same at a vector of addresses. */
LLVMValueRef gen_gather(Gen *g, LLVMTypeRef element, LLVMValueRef addresses, uint32_t lanes,
                        LLVMValueRef mask, LLVMValueRef otherwise);
void gen_scatter(Gen *g, LLVMValueRef addresses, LLVMValueRef value, LLVMValueRef mask);
/* What an element of the tensor is in memory: real, i16 where it is rounded to bf16, or i32 for
 * classes. */
LLVMTypeRef gen_element(const Gen *g, const Tensor *tensor);
/* What was loaded as a real: bf16 is widened. */
LLVMValueRef gen_real(Gen *g, LLVMValueRef loaded);
LLVMValueRef gen_base(Gen *g, const Tensor *tensor); /* asserts that it has one */
/* fast-math is never set globally: contraction to fma is explicit, NaN and infinity are respected.
 */

/* ---- loops.c ---- */
typedef struct Loop {
    LLVMValueRef counter; /* i64 */
    LLVMBasicBlockRef body, next;
    LLVMValueRef step, end;
    LLVMValueRef phis[32], inits[32]; /* values carried around: see loop_carry */
    LLVMBasicBlockRef before;
    uint32_t ncarried;
} Loop;
/* for (counter = begin; counter < end; counter += step) — the builder is left in the body. */
Loop loop_begin(Gen *g, LLVMValueRef begin, LLVMValueRef end, LLVMValueRef step, const char *name);
/* Only right after loop_begin: a value carried from one turn to the next; returns the current one.
 */
LLVMValueRef loop_carry(Gen *g, Loop *loop, LLVMValueRef init);
/* `next[i]` for the i-th carried value. Afterwards the builder is behind the loop and out[i], if
 * asked for, is the final value (the initial one when the loop ran zero times). */
void loop_end(Gen *g, Loop *loop, const LLVMValueRef *next, LLVMValueRef *out);

/* ---- linear.c: where an element lies, as a sum over indices ---- */
/* offset + sum of coefficient * atom, in elements. */
typedef struct Linear {
    int64_t offset;
    Vec(Term) terms;
} Linear;
/* The subscripts of what it writes. */
const Expr *const *linear_subs(Gen *g, const Store *store);
/* The distance of tensor[subs] from the first element. Quotients and remainders that belong
 * together are recombined: a flattened tensor is read without a division. */
Linear linear_address(Gen *g, const Tensor *tensor, const Expr *const *subs);
/* One loop over one or more adjacent indices of a kernel: they are merged where every use of them
 * amounts to their row-major position. The last one, `index`, runs over all of it, and the others
 * stay 0. */
typedef struct Axis {
    Index *index;
    Index **merged; /* all, `index` included */
    uint32_t nmerged;
    int64_t turns;       /* -1: not known before it runs */
    LLVMValueRef extent; /* i64 */
    LLVMValueRef first;  /* i64: where its part begins; NULL: 0 */
    bool is_asked;       /* an `if` asks whether the index is a certain number */
} Axis;
typedef struct Axes {
    Axis *at;
    uint32_t len;
    bool compact;    /* one masked loop along the vector axis instead of a loop and a tail */
    uint32_t vector; /* number of the axis with the kernel's vector index; len when it has none */
} Axes;
/* Code of this weight is made once, with a mask: it costs nothing beside it where masks are
 * registers of their own. */
enum { LINEAR_COMPACT_FROM = 24 };
Axes linear_axes(Gen *g, const Kernel *k, Index *const *indices, uint32_t nindices);

/* ---- vecmath.c: elementary functions on a real or a vector of reals ---- */
/* Emits op (one of EXP, LOG, LOG1P, EXPM1, LOGISTIC, LOG1PEXP, TANH, SIN, COS, ERF, POW (two args),
 * SQRT, FLOOR, SIGN, ABS) inline; no call leaves the module. Bounds in ulp: vecmath.def. */
LLVMValueRef vecmath(Gen *g, Op op, LLVMValueRef a, LLVMValueRef b);

/* ---- bfloat.c: bf16, as the bits that lie in memory: i16 or vectors of it ---- */
LLVMValueRef bfloat_round(Gen *g, LLVMValueRef v); /* from f32 */
LLVMValueRef bfloat_widen(Gen *g, LLVMValueRef v); /* to f32 */
/* Pairs as i32, the first in the lower half. */
LLVMValueRef bfloat_pairs(Gen *g, LLVMValueRef first, LLVMValueRef second);
LLVMValueRef bfloat_first(Gen *g, LLVMValueRef pairs); /* the second is zero then */
/* sum + the products of both, in f32; 4, 8 or 16 lanes, of machines that have bf16. */
LLVMValueRef bfloat_dot(Gen *g, LLVMValueRef sum, LLVMValueRef a, LLVMValueRef b);

/* ---- philox.c ---- */
/* One draw per lane: `counter` is i64 or a vector of i64; the result has as many lanes of real. */
LLVMValueRef philox_draw(Gen *g, DrawKind kind, uint32_t site, LLVMValueRef counter);

/* ---- scalar.c: expressions ---- */
/* A point: values of indices. Lane l of a vector has index `along` at its value + l. */
typedef struct Point {
    Map values;        /* Index* → LLVMValueRef i64 (the first lane's value) */
    Index *along;      /* the vectorised index, or NULL */
    uint32_t lanes;    /* 1 when along is NULL */
    LLVMValueRef mask; /* <lanes x i1>: active lanes, or NULL for all. Reads of inactive lanes do
                          not touch memory */
    Map known;         /* const Expr* → LLVMValueRef: values already there (acc, stores, cse) */
} Point;
/* A point without indices, apart from the times of enclosing scans. Every Point begins here. */
Point point_new(Gen *g, Index *along, uint32_t lanes, LLVMValueRef mask);
/* A copy whose maps can grow on their own: what becomes known inside a loop must not be believed
 * behind it. */
Point point_copy(Gen *g, const Point *p);
void point_set(Gen *g, Point *p, const Index *index, LLVMValueRef value);
void point_know(Gen *g, Point *p, const Expr *e, LLVMValueRef value);
/* The value of a REAL expression (real, or vector when it varies by lane: always of `lanes` lanes).
 */
LLVMValueRef scalar_real(Gen *g, Point *p, const Expr *e);
LLVMValueRef scalar_bool(Gen *g, Point *p, const Expr *e);
LLVMValueRef scalar_int(Gen *g, Point *p, const Expr *e);
/* About how many instructions the expression is; all stores of the kernel. */
uint32_t scalar_weight(Gen *g, const Expr *e);
uint32_t scalar_stores_weight(Gen *g, const Kernel *k);
/* The address of tensor[subs] at the first lane, and the stride along `along` in elements when it
 * is affine in it (*stride), else *stride = INT64_MIN. */
LLVMValueRef scalar_address(Gen *g, Point *p, const Tensor *tensor, const Expr *const *subs,
                            int64_t *stride);
void scalar_store(Gen *g, Point *p, const Tensor *tensor, const Expr *const *subs,
                  LLVMValueRef value);

/* ---- map.c ---- */
typedef void PointBody(Gen *g, Point *p, void *data);
/* Calls body at the points of the axes, which are scalar, but for the vector axis: whole vectors,
 * then what is left over. The vector axis is the innermost loop. */
void loop_points(Gen *g, const Point *p, const Axes *axes, PointBody *body, void *data);
/* Turn `value` of the axis, from 0. The only way to place a point on an axis: it adds where the
 * part begins. */
void point_set_axis(Gen *g, Point *p, const Axis *axis, LLVMValueRef value);
/* All values of the kernel's stores at a point, then the writes. */
void kernel_stores(Gen *g, Point *p, const Kernel *k);

/* ---- split.c: kernels that are divided among threads ---- */
/* The range of part number `part` of the kernel; loops then go through it alone. */
void split_enter(Gen *g, const Kernel *k, LLVMValueRef part);
/* The range of the index that counts the parts of another kernel (Kernel.parts_of). */
void split_count(Gen *g, const Kernel *k);
/* The number of parts in this call. */
LLVMValueRef split_parts(Gen *g, const Kernel *k);
/* A function `void(ptr call, ptr argument, ptr task, i64 parts)` that runs all parts of a task,
 * which gets the argument. */
LLVMValueRef split_runner(Gen *g);

/* ---- kernels ---- */
void kernel_generate(Gen *g, const Kernel *k); /* kernel.c: by its kind */
void kernel_map(Gen *g, const Kernel *k);      /* map.c */
void kernel_reduce(Gen *g, const Kernel *k);   /* reduce.c */
void kernel_scatter(Gen *g, const Kernel *k);  /* reduce.c */
void kernel_contract(Gen *g, const Kernel *k); /* contract.c */
void kernel_winograd(Gen *g, const Kernel *k); /* winograd.c */
/* What a step of a SCAN computes once for all times. */
void kernel_before(Gen *g, const Kernel *k);
void kernel_scan(Gen *g, const Kernel *k); /* scan.c */
void kernel_nest(Gen *g, const Kernel *k); /* nest.c */
#endif
