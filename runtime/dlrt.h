/* dlrt.h: PUBLIC: the runtime: data, training, evaluation, checkpoints for compiled models.
 *
 * Knows compiled models only through abi.h. Functions that can fail return false or NULL and fill a
 * DlrtError. What is opened must be closed. Same seed, same data, same model: same bits.
 */
#ifndef DLRT_H
#define DLRT_H

#include "runtime/abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define DLRT_API __attribute__((visibility("default")))
#else
#define DLRT_API
#endif

/* What went wrong and where. line and column count from 1; 0 means that they do not apply. For
 * binary files `line` is 0 and the message names the offset. `missing_file` is set when the file is
 * not there. */
typedef struct DlrtError {
    char path[512];
    int64_t line, column;
    bool missing_file;
    char message[1024];
} DlrtError;

/* ---- threads --------------------------------------------------------------------------- */

/* Threads that run the parts of divided work, the calling thread among them; started when they are
 * first wanted. One thread may use them at a time. */
typedef struct DlrtThreads DlrtThreads;

/* How many this process may keep busy. */
DLRT_API int64_t dlrt_processors(void);
DLRT_API DlrtThreads *dlrt_threads_open(int64_t count, DlrtError *error);
/* Another number from now on. */
DLRT_API bool dlrt_threads_resize(DlrtThreads *threads, int64_t count, DlrtError *error);
DLRT_API const DlrtParallel *dlrt_threads_parallel(const DlrtThreads *threads);
DLRT_API void dlrt_threads_close(DlrtThreads *threads);

/* ---- data ------------------------------------------------------------------------------ */

/* Examples in memory, in the model's types and shapes, per part. */
typedef struct DlrtData DlrtData;

/* Reads everything a data block names and fits it to the model: counts and shapes of ports, classes
 * in range, finite numbers. `path` (may be NULL) is --data: the folder of the sources or, for a
 * single source, the file itself. Split by `seed`, `standardize` and missing values from the
 * training part. */
DLRT_API DlrtData *dlrt_data_open(const DlrtDataSpec *spec, const DlrtModel *model,
                                  const char *path, uint64_t seed, DlrtError *error);
DLRT_API void dlrt_data_close(DlrtData *data);
DLRT_API int64_t dlrt_data_count(const DlrtData *data, DlrtPart part);
/* Rows that `missing skip` leaves out; the examples that follow one are numbered without it. */
DLRT_API int64_t dlrt_data_skipped(const DlrtData *data);
/* The array of a port (inputs, then targets) of one example. Valid until the next call for that
 * port. */
DLRT_API const void *dlrt_data_example(const DlrtData *data, DlrtPart part, uint32_t port,
                                       int64_t example);
/* The text of class k of a port, or NULL when the data has no names for classes. */
DLRT_API const char *dlrt_data_class(const DlrtData *data, uint32_t port, int64_t k);
/* Turns a scaled value of a port back into the data's own units. */
DLRT_API double dlrt_data_unscale(const DlrtData *data, uint32_t port, int64_t element,
                                  double value);

/* ---- weights --------------------------------------------------------------------------- */

/* A model's parameters, state and working memory. */
typedef struct DlrtSession DlrtSession;

DLRT_API DlrtSession *dlrt_session_open(const DlrtModel *model, uint64_t seed, DlrtError *error);
DLRT_API void dlrt_session_close(DlrtSession *session);
/* Whose threads its functions may use from now on; NULL, as in the beginning: the calling thread
 * alone. They must have no more workers than the model was compiled for, and outlive the session.
 */
DLRT_API void dlrt_session_use(DlrtSession *session, const DlrtParallel *parallel);
DLRT_API void *dlrt_session_params(DlrtSession *session);
DLRT_API void *dlrt_session_state(DlrtSession *session);
DLRT_API uint64_t dlrt_session_step(const DlrtSession *session); /* steps taken so far */

/* dlrt_data_open for weights that are there already: means, deviations, what stands for missing
 * values, and the classes of texts are those of the data that they were trained on, not of this. */
DLRT_API DlrtData *dlrt_data_open_for(const DlrtSession *session, const DlrtDataSpec *spec,
                                      const char *path, uint64_t seed, DlrtError *error);
/* The seed that was trained with; before that, the one it was opened with. */
DLRT_API uint64_t dlrt_session_seed(const DlrtSession *session);

/* The text of class k of a port that the weights' training data had, or NULL. It lives as long as
 * the session's weights. */
DLRT_API const char *dlrt_session_class(DlrtSession *session, uint32_t port, int64_t k);

/* safetensors: parameters by name; state as "state.NAME"; step, seed, epoch and what was read off
 * the training data ("data.PORT.mean", …) in its metadata. The file is written aside and renamed.
 * Loading checks names and shapes both ways; a file without state (another program's weights) is
 * accepted. */
DLRT_API bool dlrt_save(const DlrtSession *session, const char *path, int64_t epoch,
                        DlrtError *error);
DLRT_API bool dlrt_load(DlrtSession *session, const char *path, int64_t *epoch, DlrtError *error);

/* ---- running --------------------------------------------------------------------------- */

/* Loss and metrics over a part; of training windows that overlap, over so many that each target
 * value is asked for once. `metrics` has model->nmetrics values. */
typedef struct DlrtScores {
    bool present;
    int64_t count;
    double loss;
    double metrics[16];
} DlrtScores;

DLRT_API bool dlrt_evaluate(DlrtSession *session, const DlrtData *data, DlrtPart part,
                            DlrtScores *scores, DlrtError *error);
/* Runs the model on n examples of a part; outputs[i] has room for them. */
DLRT_API bool dlrt_predict(DlrtSession *session, const DlrtData *data, DlrtPart part, int64_t first,
                           int64_t n, void *const *outputs, DlrtError *error);

/* Pictures for a sheet: count times [channels, height, width], values in 0..1. */
typedef struct DlrtPictures {
    const float *values;
    int64_t count, channels, height, width; /* channels 1: grey, 3: red, green, blue */
} DlrtPictures;
/* Writes them as one PNG file, aside and renamed. An error in a build without libpng. */
DLRT_API bool dlrt_write_sheet(const DlrtPictures *pictures, const char *path, DlrtError *error);

/* How dlrt_sample chooses. top_k 0 and top_p 0: no limit. */
typedef struct DlrtSampling {
    double temperature; /* 0: the greatest score */
    int64_t top_k;
    double top_p;
    uint64_t seed;
} DlrtSampling;

/* A class drawn from scores[0..n-1] (logarithms of probabilities, but for a constant); a function
 * of the scores, the seed and the position alone. */
DLRT_API int64_t dlrt_sample(const double *scores, int64_t n, const DlrtSampling *sampling,
                             uint64_t position);

/* The nearest of the names by edit distance, for "did you mean"; NULL where none is near. */
DLRT_API const char *dlrt_nearest(const char *name, const char *const *names, size_t count);

/* What was done since the last report: an epoch, or a tenth of the steps. */
typedef struct DlrtEpoch {
    int64_t epoch, epochs; /* epochs done, of how many */
    int64_t step, steps;   /* where steps are counted; otherwise 0 */
    double train_loss;     /* mean over the examples, as it went */
    DlrtScores valid;
    double seconds;
} DlrtEpoch;

typedef struct DlrtProgress {
    int64_t epoch, epochs, batch, batches;
    int64_t step, steps; /* where steps are counted; otherwise 0 */
    double loss;         /* mean since the last report */
    double seconds;      /* since the last report */
} DlrtProgress;

typedef struct DlrtTraining {
    int64_t epochs, batch; /* batch <= model->max_batch */
    int64_t steps;         /* not 0: train until the session has taken so many, whatever `epochs` */
    int64_t first_epoch;   /* 0, or the number of epochs already done (--resume) */
    int64_t patience;      /* not 0: keeps the weights whose validation loss was smallest, and ends
                              after so many reports without a smaller one */
    uint64_t seed;         /* order of the examples and random draws */
    void *user;
    /* May be NULL. Return false to stop after the current step (ctrl-C): training ends well. */
    bool (*on_progress)(void *user, const DlrtProgress *progress);
    bool (*on_epoch)(void *user, const DlrtEpoch *epoch);
} DlrtTraining;

typedef struct DlrtTrained {
    int64_t epochs, steps; /* done; with patience, when the weights were those that are kept */
    bool stopped;          /* by the user */
    bool impatient;        /* ended early: validation went no better */
    DlrtScores train, valid, test; /* at the end, in inference mode */
    double seconds;
} DlrtTrained;

/* Trains on the training part. The order of examples in epoch e is the Fisher-Yates shuffle by the
 * generator of dlrt_shuffle with (seed, e). A loss that is not finite stops it with an error that
 * names epoch and step. */
DLRT_API bool dlrt_train(DlrtSession *session, const DlrtData *data, const DlrtTraining *training,
                         DlrtTrained *trained, DlrtError *error);

/* The permutation used by dlrt_train for an epoch: order[0..n-1]. */
DLRT_API void dlrt_shuffle(int64_t *order, int64_t n, uint64_t seed, uint64_t epoch);
DLRT_API double dlrt_seconds(void); /* monotonic clock */

#endif
