/* pipeline.h: the order of the stages. Private to pipeline.c and dlc.c.
 *
 *     syntax → sema → ir → diff → plan → codegen → target
 */
#ifndef DLC_PIPELINE_H
#define DLC_PIPELINE_H

#include "diff/diff.h"
#include "plan/plan.h"
#include "sema/sema.h"
#include "target/target.h"

typedef struct PipelineOptions {
    SemaOptions sema;
    bool f64, bf16;
    uint32_t winograd; /* the largest tile; 0: none */
    bool inference;    /* no training functions */
    bool at_once; /* machine code of all functions together, not of each when it is first called */
    int64_t workers;
    TargetThreads threads;
    const char *cache; /* a folder for machine code; NULL: none */
    const Machine *machine;
} PipelineOptions;

/* The functions of a model that exist, planned. */
typedef struct Planned {
    Model *model;
    Layout *layout;
    Function *init, *step, *forward, *evaluate, *finish;
    Function *all[5];
    uint32_t nall;
} Planned;

/* sema: the model expanded, nothing else done. */
Model *pipeline_expand(Ctx *ctx, Program *program, const char *name,
                       const PipelineOptions *options);
/* ir: a module in normal form. */
bool pipeline_normalize(Ctx *ctx, Module *m);
/* diff: the training module with the gradients of all params, in normal form. */
bool pipeline_differentiate(Ctx *ctx, Model *model);
/* plan: every function of the model. */
Planned *pipeline_plan(Ctx *ctx, Model *model, const PipelineOptions *options);
/* codegen alone. */
LLVMModuleRef pipeline_codegen(Ctx *ctx, LLVMContextRef llvm, const char *name,
                               Function *const *functions, uint32_t nfunctions,
                               const PipelineOptions *options);
/* codegen and the optimisation passes of target. */
LLVMModuleRef pipeline_generate(Ctx *ctx, LLVMContextRef llvm, const char *name,
                                Function *const *functions, uint32_t nfunctions,
                                const PipelineOptions *options);

PlanOptions pipeline_plan_options(const PipelineOptions *options);
/* Inputs, then targets: the order of DlrtCall.inputs. */
Tensor **pipeline_ports(Ctx *ctx, const Model *model, uint32_t *count);

#endif
