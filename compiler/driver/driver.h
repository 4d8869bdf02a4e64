/* driver/driver.h: what the files of the command share.
 *
 * The command is the first user of the two public headers and knows nothing else of the compiler.
 * Results go to stdout, everything else to stderr. Exit status: 0 good, 1 the model or the data is
 * wrong, 2 the command line is wrong.
 */
#ifndef DLC_DRIVER_H
#define DLC_DRIVER_H

#include "dlc.h"
#include "runtime/dlrt.h"

#include <time.h>

enum { EXIT_GOOD = 0, EXIT_WRONG = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Everything that options can say. */
typedef struct Options {
    const char *file; /* the .dl file; NULL in the REPL */
    const char *model, *data, *save, *resume, *weights, *output, *emit, *triple, *cpu, *part,
        *color, *compare;
    int64_t epochs, steps, batch, count, folds, patience, threads; /* 0: not given */
    uint64_t seed;
    bool has_seed;
    DlcWinograd winograd;
    double tolerance;       /* 0: not given */
    const char *png, *port; /* predict */
    /* generate */
    const char *prompt, *until;
    int64_t length, top_k;
    double temperature, top_p;
    bool has_temperature;
    DlcSetting *settings;
    size_t nsettings;
    DlcSetting *trials; /* values of one setting that are to be compared: --set lr=0.1,0.01 */
    size_t ntrials;
    bool json, help, inference, f64, bf16, verify_each, expect, split, show, check_only, no_cache;
    char cache[1024]; /* the folder for machine code; empty: none */
} Options;

/* A session of the command: one run, or a whole REPL. */
typedef struct Driver {
    Dlc *dlc;
    bool interactive; /* in the REPL */
    /* When this run began, before its file was read (driver_now), and the processor's seconds that
     * the process had used to be there. */
    double started, startup;
    /* What the last training left, for eval and predict in the REPL. */
    const DlrtModel *model;
    DlrtSession *session;
    DlrtThreads *threads;
    int64_t nthreads; /* 0: not opened yet */
} Driver;

typedef struct Verb {
    const char *name, *summary, *details;
    int (*run)(Driver *driver, const Options *options);
} Verb;

/* Seconds that a clock shows; and those of the clock that only goes forward. */
double driver_seconds(clockid_t clock);
double driver_now(void);

extern const Verb verbs[]; /* ends with a NULL name */
const Verb *verb_find(const char *name);

/* options.c: parses words after the verb. False after a message on stderr. */
bool options_parse(const Verb *verb, int nwords, char **words, Options *options);
void options_free(Options *options);
void options_help(const Verb *verb, FILE *out);
void usage(FILE *out);

/* Shows the compiler's messages on stderr. Returns EXIT_WRONG if there were errors, else EXIT_GOOD.
 */
int show_messages(Driver *driver, const Options *options);
/* A runtime error in the same form. */
void show_error(const Options *options, const DlrtError *error);
DlcOptions compile_options(const Options *options);

/* show.c: numbers and pictures for people. */
void put_json_string(FILE *out, const char *text);
void put_json_number(FILE *out, double value);
void put_scores_json(FILE *out, const DlrtModel *model, const DlrtScores *scores);
/* Not a number has a sign that says nothing, and printf shows it. */
double without_sign(double value);
void put_scores(FILE *out, const DlrtModel *model, const DlrtScores *scores);
/* An example as a picture of characters, when its port has two dimensions larger than 1. */
bool put_picture(FILE *out, const DlrtPort *port, const float *values);
/* "1 epoch", "2 epochs" */
void put_counted(FILE *out, int64_t n, const char *what);
/* "  (45 examples)" and the end of the line */
void put_example_count(FILE *out, const DlrtScores *scores);
void put_bytes(FILE *out, double bytes);
void put_count(FILE *out, double count);

/* memory.c: readies the heap; the first thing that the process does. */
void prepare_memory(void);

/* run.c: a compiled model, its data and its weights. */
typedef struct Run {
    Driver *driver;
    const Options *options;
    const DlrtModel *model;
    DlrtTrainSpec spec; /* the file's, with the options in */
    const DlrtDataSpec *data_spec;
    DlrtDataSpec asked_data; /* what eval and predict make of it */
    DlrtData *data;
    DlrtSession *session;
    bool own_session;
    bool tells_first; /* the first step that is done is told */
    double drawn;     /* when the progress line was last drawn */
} Run;

/* Opens a session for the run's model, with the driver's threads. */
bool open_session(Run *run, DlrtError *error);
/* The driver's threads from now on: so many. False after a message. */
bool open_threads(Driver *driver, int64_t count);
/* compile_options for and with these threads. */
DlcOptions threaded_options(const Driver *driver, const Options *options);
/* Those of the driver, if a model compiled for so many may use them; else NULL: its own alone. */
const DlrtParallel *driver_parallel(const Driver *driver, const DlrtModel *model);
/* Compiles the model and finds its train and data blocks; `reuse`: what the REPL trained last. */
int open_model(Run *run, Driver *driver, const Options *options, bool reuse);
int open_data(Run *run);
/* The same for a model that is to be trained. */
int open_trainable(Run *run, Driver *driver, const Options *options);
/* Trains the run's session, with the line of progress; ctrl-C ends it between two steps. */
bool start_training(Run *run, DlrtTraining *training, DlrtTrained *trained, DlrtError *error);
/* trials.c: several trainings that are compared: cross-validation, values of a setting. */
int run_trials(Driver *driver, const Options *options);
int load_weights(Run *run);
void close_run(Run *run);

int run_check(Driver *driver, const Options *options);
int run_summary(Driver *driver, const Options *options);
int run_compile(Driver *driver, const Options *options);
int run_fmt(Driver *driver, const Options *options);
int run_train(Driver *driver, const Options *options);
int run_eval(Driver *driver, const Options *options);
int run_predict(Driver *driver, const Options *options);
int run_generate(Driver *driver, const Options *options);
int run_gradcheck(Driver *driver, const Options *options);
int run_bench(Driver *driver, const Options *options);
int run_repl(Driver *driver, const Options *options);
/* expect.c: `check --verify` */
int run_expect(const Options *options);

#endif
