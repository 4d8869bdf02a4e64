/* driver/trials.c: several trainings that are compared by their validation: `--folds N` divides the
 * data into N parts, each of which is once the validation; `--set lr=0.1,0.01` tries each value.
 *
 * The test part is looked at by none of them: it is for what was chosen.
 */
#include "driver/driver.h"

#include <math.h>
#include <string.h>

enum { MOST = 1 + sizeof((DlrtScores *)NULL)->metrics / sizeof(double) };

/* The loss and the metrics over the folds so far. */
typedef struct Tally {
    int64_t folds;
    double sum[MOST], squares[MOST];
} Tally;

typedef struct Trials {
    const Options *options;
    Options one; /* of the training that is on */
    Tally tally;
    bool stopped;
    /* the best value of the setting */
    double best, best_loss;
} Trials;

static void put_setting_json(const Trials *t, size_t trial) {
    if (!t->options->ntrials) return;
    printf(",\"set\":{");
    put_json_string(stdout, t->options->trials[trial].name);
    putchar(':');
    put_json_number(stdout, t->options->trials[trial].value);
    putchar('}');
}

static void put_fold(const Trials *t, const Run *run, size_t trial, int64_t fold,
                     const DlrtScores *scores) {
    if (t->options->json) {
        printf("{\"event\":\"fold\"");
        put_setting_json(t, trial);
        printf(",\"fold\":%lld,\"folds\":%lld,\"valid\":", (long long)fold + 1,
               (long long)t->options->folds);
        put_scores_json(stdout, run->model, scores);
        printf("}\n");
    } else {
        int width = snprintf(NULL, 0, "%lld", (long long)t->options->folds);
        printf("fold %*lld/%lld  ", width, (long long)fold + 1, (long long)t->options->folds);
        put_scores(stdout, run->model, scores);
        put_example_count(stdout, scores);
    }
    fflush(stdout);
}

static double mean_of(const Tally *tally, uint32_t i) {
    return tally->sum[i] / (double)tally->folds;
}

/* Of the folds, not of their mean. */
static double deviation_of(const Tally *tally, uint32_t i) {
    double n = (double)tally->folds, mean = mean_of(tally, i);
    double rest = tally->squares[i] - n * mean * mean;
    return n < 2 ? 0 : sqrt((rest < 0 ? 0 : rest) / (n - 1));
}

static void put_tally_json(const Trials *t, const Run *run, size_t trial) {
    printf("{\"event\":\"trial\"");
    put_setting_json(t, trial);
    for (uint32_t i = 0; i <= run->model->nmetrics; i++) {
        putchar(',');
        put_json_string(stdout, i ? run->model->metrics[i - 1] : "loss");
        printf(":{\"mean\":");
        put_json_number(stdout, mean_of(&t->tally, i));
        printf(",\"deviation\":");
        put_json_number(stdout, deviation_of(&t->tally, i));
        putchar('}');
    }
    printf("}\n");
}

static void put_tally(const Trials *t, const Run *run, size_t trial) {
    if (t->options->json) {
        put_tally_json(t, run, trial);
        return;
    }
    if (t->options->ntrials)
        printf("%s = %-8.5g  ", t->options->trials[trial].name, t->options->trials[trial].value);
    else
        printf("mean      ");
    for (uint32_t i = 0; i <= run->model->nmetrics; i++) {
        printf("%s%s %.4g", i ? "  " : "", i ? run->model->metrics[i - 1] : "loss",
               without_sign(mean_of(&t->tally, i)));
        if (t->tally.folds > 1) printf(" ± %.2g", without_sign(deviation_of(&t->tally, i)));
    }
    putchar('\n');
    fflush(stdout);
}

static void add_scores(Tally *tally, const DlrtModel *model, const DlrtScores *scores) {
    tally->folds++;
    for (uint32_t i = 0; i <= model->nmetrics; i++) {
        double value = i ? scores->metrics[i - 1] : scores->loss;
        tally->sum[i] += value;
        tally->squares[i] += value * value;
    }
}

static int fail(Run *run, const DlrtError *error) {
    show_error(run->options, error);
    close_run(run);
    return EXIT_WRONG;
}

/* One training, from the beginning, with the data of a fold. */
static int train_fold(Trials *t, Run *run, size_t trial, int64_t fold) {
    DlrtError error = {0};
    DlrtTrained trained;
    DlrtDataSpec data = {0};
    if (run->data_spec && t->options->folds) {
        data = *run->data_spec;
        data.folds = t->options->folds;
        data.fold = fold;
        run->data_spec = &data;
    }
    int status = open_data(run);
    if (status != EXIT_GOOD) return status;
    if (dlrt_data_count(run->data, DLRT_VALID) == 0) {
        fprintf(stderr, "error: values are compared by the valid part, and the data has none: give "
                        "it one in the split, or say --folds 5\n");
        close_run(run);
        return EXIT_WRONG;
    }
    DlrtTraining training = {.epochs = run->spec.epochs,
                             .steps = run->spec.steps,
                             .patience = run->spec.patience,
                             .batch = run->model->max_batch,
                             .seed = run->spec.seed};
    if (!open_session(run, &error) || !start_training(run, &training, &trained, &error))
        return fail(run, &error);
    t->stopped = trained.stopped;
    add_scores(&t->tally, run->model, &trained.valid);
    if (t->options->folds) put_fold(t, run, trial, fold, &trained.valid);
    close_run(run);
    return EXIT_GOOD;
}

static int run_trial(Trials *t, Driver *driver, size_t trial) {
    Run run;
    int64_t folds = t->options->folds ? t->options->folds : 1;
    t->tally = (Tally){0};
    int status = open_trainable(&run, driver, &t->one);
    const DlrtDataSpec *data = run.data_spec;
    for (int64_t fold = 0; status == EXIT_GOOD && fold < folds && !t->stopped; fold++) {
        run.data_spec = data;
        status = train_fold(t, &run, trial, fold);
    }
    if (status != EXIT_GOOD || t->stopped) return status;
    put_tally(t, &run, trial);
    double loss = mean_of(&t->tally, 0);
    if (trial == 0 || loss < t->best_loss) {
        t->best_loss = loss;
        t->best = t->options->ntrials ? t->options->trials[trial].value : 0;
    }
    return EXIT_GOOD;
}

int run_trials(Driver *driver, const Options *options) {
    Trials t = {.options = options, .one = *options};
    size_t n = options->ntrials ? options->ntrials : 1;
    DlcSetting settings[64];
    int status = EXIT_GOOD;
    if (options->nsettings >= sizeof settings / sizeof *settings) {
        fprintf(stderr, "dlc: too many settings\n");
        return EXIT_USAGE;
    }
    if (options->nsettings)
        memcpy(settings, options->settings, options->nsettings * sizeof *settings);
    t.one.settings = settings;
    t.one.nsettings = options->nsettings + (options->ntrials > 0);
    for (size_t trial = 0; trial < n && status == EXIT_GOOD && !t.stopped; trial++) {
        if (options->ntrials) settings[options->nsettings] = options->trials[trial];
        status = run_trial(&t, driver, trial);
    }
    if (status != EXIT_GOOD) return status;
    if (t.stopped) return EXIT_INTERRUPTED;
    if (options->ntrials && !options->json)
        printf("best: --set %s=%g, by the validation loss\n", options->trials[0].name, t.best);
    return EXIT_GOOD;
}
