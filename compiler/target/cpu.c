/* target/cpu.c: the machine that code is generated for.
 *
 * in:   nothing (this machine), or names      out: a Machine
 * Vector size, registers and caches are what plan and codegen ask about; LLVM knows the rest by the
 * names of the CPU and its features.
 */
#include "target/private.h"

#include "cpus.h"

#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* When the machine says nothing, and for other machines. */
enum { L1_BYTES = 32 << 10, L2_BYTES = 512 << 10 };

static const char *taken(Ctx *ctx, char *message) {
    const char *copy = arena_strdup(ctx->arena, message);
    LLVMDisposeMessage(message);
    return copy;
}

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Is `+name` in the list "+a,-b,+c"? */
static bool has_feature(const char *features, const char *name) {
    size_t length = strlen(name);
    for (const char *at = features; at && *at;) {
        const char *comma = strchr(at, ',');
        size_t n = comma ? (size_t)(comma - at) : strlen(at);
        if (*at == '+' && n == length + 1 && strncmp(at + 1, name, length) == 0) return true;
        at = comma ? comma + 1 : NULL;
    }
    return false;
}

/* LLVM does not tell the features of a CPU that is only named: the vectors of the usual ones. Those
 * of SVE, where they are larger than Neon's, have one size in each of these processors. */
typedef struct Named {
    const char *prefix;
    int64_t vector_bytes;
    bool has_bf16;
} Named;
static const Named named[] = {
    {"x86-64-v4", 64, false},    {"x86-64-v3", 32, false},     {"skylake-avx512", 64, false},
    {"skx", 64, false},          {"cascadelake", 64, false},   {"cooperlake", 64, true},
    {"cannonlake", 64, false},   {"icelake", 64, false},       {"rocketlake", 64, false},
    {"tigerlake", 64, false},    {"sapphirerapids", 64, true}, {"emeraldrapids", 64, true},
    {"graniterapids", 64, true}, {"diamondrapids", 64, true},  {"znver4", 64, true},
    {"znver5", 64, true},        {"haswell", 32, false},       {"broadwell", 32, false},
    {"skylake", 32, false},      {"alderlake", 32, false},     {"raptorlake", 32, false},
    {"meteorlake", 32, false},   {"arrowlake", 32, false},     {"lunarlake", 32, false},
    {"pantherlake", 32, false},  {"gracemont", 32, false},     {"sierraforest", 32, false},
    {"znver1", 32, false},       {"znver2", 32, false},        {"znver3", 32, false},
    {"bdver4", 32, false},       {"a64fx", 64, false},         {"neoverse-v1", 32, false}};

static Named usual_vectors(const char *cpu) {
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (starts_with(cpu, named[i].prefix)) return named[i];
    return (Named){cpu, 16, false};
}

static void describe_vectors(Machine *machine) {
    const char *features = machine->features;
    machine->vector_bytes = 16;
    machine->vector_registers = 32;
    machine->has_fma = true;
    const Named usual = usual_vectors(machine->cpu);
    if (starts_with(machine->triple, "aarch64")) {
        bool has_sve = !*features || has_feature(features, "sve");
        machine->vector_bytes = has_sve ? usual.vector_bytes : 16;
        machine->is_scalable = machine->vector_bytes > 16;
    }
    if (!starts_with(machine->triple, "x86_64")) return;
    machine->vector_bytes = usual.vector_bytes;
    if (has_feature(features, "avx2") && has_feature(features, "fma")) machine->vector_bytes = 32;
    if (has_feature(features, "avx512f") && has_feature(features, "avx512dq") &&
        has_feature(features, "avx512vl"))
        machine->vector_bytes = 64;
    machine->vector_registers = machine->vector_bytes == 64 ? 32 : 16;
    machine->has_fma = machine->vector_bytes >= 32;
    machine->has_bf16 = machine->vector_bytes == 64 &&
                        (*features ? has_feature(features, "avx512bf16") : usual.has_bf16);
}

static int64_t cache_bytes(int name, int64_t fallback) {
    long bytes = name >= 0 ? sysconf(name) : -1;
    return bytes > 0 ? bytes : fallback;
}

static void describe_caches(Machine *machine, bool is_this_machine) {
    machine->l1_bytes = L1_BYTES;
    machine->l2_bytes = L2_BYTES;
    if (!is_this_machine) return;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    machine->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, L1_BYTES);
    machine->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, L2_BYTES);
#endif
}

/* The families of processors that code is tested for. All that LLVM knows would take a tenth of the
 * time to a first step. */
#define FAMILIES(X) X(X86) X(AArch64) X(RISCV)

/* Schedulers before and behind register allocation take a fourteenth and a twelfth of the time for
 * machine code, and give nothing to processors that reorder instructions themselves. Strength
 * reduction of loops takes a sixth, and finds nothing to do: codegen's loops carry their addresses.
 * C's interface has no other way to say so; it may be said once in a process. */
static void choose_passes(void) {
    const char *const words[] = {"dlc", TARGET_NO_SCHEDULER, TARGET_NO_LATE_SCHEDULER,
                                 TARGET_LOOPS_AS_THEY_ARE};
    LLVMParseCommandLineOptions(4, words, NULL);
}

static void initialize_llvm(void) {
    if (!LLVMGetFirstTarget()) choose_passes();
#define INITIALIZE(family)                                                                         \
    LLVMInitialize##family##TargetInfo();                                                          \
    LLVMInitialize##family##Target();                                                              \
    LLVMInitialize##family##TargetMC();                                                            \
    LLVMInitialize##family##AsmPrinter();
    FAMILIES(INITIALIZE)
#undef INITIALIZE
}

static const char *plain_features(const char *triple) {
    /* Without them LLVM's generic RISC-V has no floating point at all. */
    return starts_with(triple, "riscv64") ? "+m,+a,+f,+d,+c" : "";
}

LLVMTargetMachineRef target_generator(Ctx *ctx, const Machine *machine) {
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(machine->triple, &target, &message))
        DLC_BUG(ctx, (Span){0}, "%s", message);
    return LLVMCreateTargetMachine(target, machine->triple, machine->cpu, machine->features,
                                   TARGET_EFFORT, LLVMRelocPIC, LLVMCodeModelDefault);
}

/* Fills in the layout of data; false when the pointers are not those of DlrtCall. */
static bool describe_layout(Ctx *ctx, Machine *machine) {
    /* It does not depend on the processor, whose features LLVM takes long to add up. */
    Machine plain = {.triple = machine->triple, .cpu = "", .features = ""};
    LLVMTargetMachineRef generator = target_generator(ctx, &plain);
    LLVMTargetDataRef data = LLVMCreateTargetDataLayout(generator);
    machine->layout = taken(ctx, LLVMCopyStringRepOfTargetData(data));
    bool is_64_bit = LLVMPointerSize(data) == 8;
    LLVMDisposeTargetData(data);
    LLVMDisposeTargetMachine(generator);
    return is_64_bit;
}

static const char *const *known_cpus(const char *triple) {
    return starts_with(triple, "x86_64")    ? cpus_x86_64
           : starts_with(triple, "aarch64") ? cpus_aarch64
           : starts_with(triple, "riscv64") ? cpus_riscv64
                                            : NULL;
}

/* What all processors of a kind can do. */
static const char *usual_cpu(const char *triple) {
    return starts_with(triple, "x86_64")    ? "x86-64"
           : starts_with(triple, "riscv64") ? "generic-rv64"
                                            : "generic";
}

static bool check_cpu(Ctx *ctx, const Machine *machine, bool is_other_machine) {
    const char *const *known = known_cpus(machine->triple);
    uint32_t n = 0;
    for (; known && known[n]; n++)
        if (strcmp(known[n], machine->cpu) == 0) return true;
    if (n == 0) return true;
    Diag *d = diag_error(ctx, (Span){0}, "`%s` has no processor called `%s`", machine->triple,
                         machine->cpu);
    const char *near = diag_nearest(machine->cpu, known, n);
    if (near)
        diag_help(ctx, d, "did you mean `%s`?", near);
    else if (is_other_machine)
        diag_help(ctx, d, "without `--cpu` it is `%s`", usual_cpu(machine->triple));
    else
        diag_help(ctx, d, "`native` is this one");
    return false;
}

const Machine *target_machine(Ctx *ctx, const char *triple, const char *cpu) {
    initialize_llvm();
    Machine *machine = ARENA_NEW(ctx->arena, Machine);
    const char *host = taken(ctx, LLVMGetDefaultTargetTriple());
    machine->triple = triple ? taken(ctx, LLVMNormalizeTargetTriple(triple)) : host;
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(machine->triple, &target, &message)) {
        Diag *d = diag_error(ctx, (Span){0}, "code for the target `%s` cannot be generated",
                             machine->triple);
        diag_help(ctx, d, "this LLVM says: %s", taken(ctx, message));
        return NULL;
    }
    bool is_this_machine = !triple && (!cpu || strcmp(cpu, "native") == 0);
    if (is_this_machine) {
        machine->cpu = taken(ctx, LLVMGetHostCPUName());
        machine->features = taken(ctx, LLVMGetHostCPUFeatures());
    } else {
        machine->cpu = cpu ? cpu : usual_cpu(machine->triple);
        machine->features = plain_features(machine->triple);
    }
    if (starts_with(machine->triple, "riscv64") && strcmp(machine->cpu, "generic") == 0)
        machine->cpu = "generic-rv64";
    if (!is_this_machine && !check_cpu(ctx, machine, triple != NULL)) return NULL;
    if (!describe_layout(ctx, machine)) {
        diag_error(ctx, (Span){0}, "the target `%s` does not have 64-bit pointers",
                   machine->triple);
        return NULL;
    }
    describe_vectors(machine);
    describe_caches(machine, is_this_machine);
    return machine;
}
