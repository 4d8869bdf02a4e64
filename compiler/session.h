/* session.h: what the files of the public interface share. Private to this folder.
 */
#ifndef DLC_SESSION_H
#define DLC_SESSION_H

#include "dlc.h"
#include "pipeline.h"

struct Dlc {
    Ctx ctx;
    Program *program;
    Vec(SyntaxFile *) files; /* the user's, in the order they were loaded */
    Vec(Jit *) jits;
    Vec(const char *) model_names;
    uint32_t typed; /* lines typed so far, for their names in messages */
};

/* The options in the pipeline's terms; false, with a message, when the machine is not known. */
bool session_options(Dlc *dlc, const DlcOptions *options, PipelineOptions *out);

/* describe.c: what the outside learns about a compiled model. */
DlrtModel *describe_model(Ctx *ctx, const Planned *planned, const PipelineOptions *options);
/* "[3, 4]" without the batch; "[]" for a scalar. */
const char *describe_shape(Ctx *ctx, const Tensor *tensor);

/* summary.c */
const DlcSummary *summary_of(Ctx *ctx, const Planned *planned, int64_t batch);

/* gradients.c */
const DlcGradients *gradients_compile(Dlc *dlc, const DlcOptions *options);

/* bench.c */
const DlcBench *bench_compile(Dlc *dlc, const DlcOptions *options);
/* traffic.c: the memory that each kernel of a function touches. */
void traffic_of(Ctx *ctx, const Function *f, DlcBenchKernel *kernels);

/* The options in the pipeline's terms, and every function of the model planned. */
Planned *session_plan(Dlc *dlc, const DlcOptions *options, PipelineOptions *pipeline);
/* All of them in this process. NULL after a message. */
const DlrtModel *session_compile(Dlc *dlc, const Planned *planned, const PipelineOptions *pipeline);
/* Operations of a kernel, its steps included, for n examples. */
double summary_kernel_flops(const Kernel *k, int64_t n);
/* Those of them that are done in pairs of bf16. */
double summary_pairs_flops(const Kernel *k, int64_t n);
/* Planned functions in this process, each compiled when it is first called unless the options say
 * `at_once`. NULL after a message. */
Jit *session_jit(Dlc *dlc, const char *name, Function *const *functions, uint32_t nfunctions,
                 const PipelineOptions *options);
DlrtFunction *session_find(Dlc *dlc, Jit *jit, const char *model, const char *function);

#endif
