/* codegen/calls.h: what a kernel's function gets, and which kernels are one function. Between
 * operands.c, equal.c, kernel.c and calls.c.
 */
#ifndef DLC_CODEGEN_CALLS_H
#define DLC_CODEGEN_CALLS_H

#include "codegen/emit.h"

/* One parameter of a kernel's function: the first byte of a buffer. */
typedef struct Operand {
    const Buffer *buffer;
    const Tensor *tensor; /* the first that lies there */
    bool is_written, overlaps;
} Operand;

/* What a kernel touches, in the order of its function's parameters. */
typedef struct Operands {
    Gen *g;
    Vec(Operand) all;
    Map number; /* Tensor* → operand number + 1 */
    Sites sites;
} Operands;

void operands_find(Gen *g, const Kernel *k, Operands *o);
/* Does the caller say where it lies in the array, rather than the array that it is? */
bool operands_are_aligned(const Buffer *buffer);

/* What the functions of kernels get behind operands and sites. */
enum { EXTRA_N, EXTRA_SEED, EXTRA_STEP, EXTRA_WORKSPACE, EXTRA_PART, EXTRAS };
/* The function of a kernel, whose sites are known. */
LLVMValueRef kernel_function(Gen *g, const Kernel *k, const char *name, Operands *o);

/* The kernels of a function that differ, by what their code depends on. */
typedef struct Pattern {
    const int64_t *words;
    uint32_t nwords;
    uint64_t hash;
} Pattern;
typedef Vec(int64_t) Words;
typedef struct Patterns {
    Vec(Pattern) all;
    uint32_t *slots; /* number + 1; 0 is empty */
    uint32_t nslots;
    Words words; /* of the kernel that is looked at */
    Map numbers;
} Patterns;
/* The number of the kernel's pattern, which are counted as they come. Kernels of one pattern are
 * one function: they do the same with operands and sites that have the same order. Fills o->sites.
 */
uint32_t equal_pattern(Gen *g, Patterns *patterns, const Kernel *k, Operands *o);

/* Asserts that two functions, the other one of the kernel, differ by names alone. */
void equal_verify(Gen *g, LLVMValueRef one, LLVMValueRef other, const Kernel *k);

/* The function of the call, `symbol`, and all that it calls. */
void calls_generate(Gen *g, const char *symbol);

#endif
