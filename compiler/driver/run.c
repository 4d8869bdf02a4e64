/* driver/run.c: train, eval, predict: a compiled model, its data and its weights brought together.
 */
#include "driver/driver.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

void close_run(Run *run) {
    if (run->data) dlrt_data_close(run->data);
    if (run->session && run->own_session) dlrt_session_close(run->session);
    run->data = NULL;
    run->session = NULL;
}

static int fail(Run *run, const DlrtError *error) {
    show_error(run->options, error);
    close_run(run);
    return EXIT_WRONG;
}

static const char *shown_file(const Options *options) {
    return options->file ? options->file : "the session";
}

/* Does the command mean the model that the session has just trained? */
static bool means_trained(const Driver *driver, const Options *options) {
    return driver->session && !options->weights &&
           (!options->model || strcmp(options->model, driver->model->name) == 0);
}

/* ---- threads ---------------------------------------------------------------------------- */

static int64_t thread_count(const Options *options) {
    return options->threads ? options->threads : dlrt_processors();
}

/* The session of a REPL may have been compiled for fewer. */
bool open_threads(Driver *driver, int64_t count) {
    DlrtError error = {0};
    if (driver->nthreads == count) return true;
    if (driver->session) dlrt_session_use(driver->session, NULL);
    if (!driver->threads) driver->threads = dlrt_threads_open(count, &error);
    bool good = driver->threads && dlrt_threads_resize(driver->threads, count, &error);
    if (good)
        driver->nthreads = count;
    else
        fprintf(stderr, "error: %s\n", error.message);
    return good;
}

DlcOptions threaded_options(const Driver *driver, const Options *options) {
    DlcOptions compile = compile_options(options);
    compile.threads = driver->nthreads;
    if (driver->nthreads > 1) compile.parallel = dlrt_threads_parallel(driver->threads);
    return compile;
}

const DlrtParallel *driver_parallel(const Driver *driver, const DlrtModel *model) {
    bool fits = driver->threads && driver->nthreads > 1 && driver->nthreads <= model->workers;
    return fits ? dlrt_threads_parallel(driver->threads) : NULL;
}

bool open_session(Run *run, DlrtError *error) {
    run->session = dlrt_session_open(run->model, run->spec.seed, error);
    run->own_session = true;
    if (!run->session) return false;
    dlrt_session_use(run->session, driver_parallel(run->driver, run->model));
    return true;
}

/* ---- models and data -------------------------------------------------------------------- */

int open_model(Run *run, Driver *driver, const Options *options, bool reuse) {
    *run = (Run){.driver = driver, .options = options};
    if (!open_threads(driver, thread_count(options))) return EXIT_WRONG;
    reuse = reuse && means_trained(driver, options);
    const DlrtTrainSpec *spec =
        dlc_train_spec(driver->dlc, reuse ? driver->model->name : options->model);
    run->spec = spec ? *spec : (DlrtTrainSpec){.epochs = 10, .batch = 64};
    if (options->steps) run->spec.steps = options->steps;
    if (options->epochs) {
        run->spec.epochs = options->epochs;
        run->spec.steps = 0;
    }
    if (options->batch) run->spec.batch = options->batch;
    if (options->patience) run->spec.patience = options->patience;
    if (options->has_seed) run->spec.seed = options->seed;
    run->data_spec = dlc_data_spec(driver->dlc, spec ? spec->data : NULL);
    if (reuse) {
        run->model = driver->model;
        run->session = driver->session;
        dlrt_session_use(run->session, driver_parallel(driver, run->model));
        return show_messages(driver, options);
    }
    DlcOptions compile = threaded_options(driver, options);
    run->model = dlc_compile(driver->dlc, &compile);
    int status = show_messages(driver, options);
    return run->model ? status : EXIT_WRONG;
}

int open_data(Run *run) {
    DlrtError error = {0};
    if (!run->data_spec) {
        fprintf(stderr,
                "error: %s has no data block for `%s`: say where its data comes from, as in\n"
                "    data d { source csv(\"file.csv\") }\n    train %s on d { epochs: 10 }\n",
                shown_file(run->options), run->model->name, run->model->name);
        return EXIT_WRONG;
    }
    const char *path = run->options->data;
    run->data = run->session
                    ? dlrt_data_open_for(run->session, run->data_spec, path, run->spec.seed, &error)
                    : dlrt_data_open(run->data_spec, run->model, path, run->spec.seed, &error);
    return run->data ? EXIT_GOOD : fail(run, &error);
}

/* ---- training --------------------------------------------------------------------------- */

static void clear_line(void) {
    fputs("\r\033[K", stderr);
}

/* Told at once: who started the process sees how long it took until the first step was done. */
static void first_step_json(const DlrtProgress *p) {
    printf("{\"event\":\"first\",\"train\":{\"loss\":");
    put_json_number(stdout, p->loss);
    printf("},\"seconds\":");
    put_json_number(stdout, p->seconds);
    printf("}\n");
    fflush(stdout);
}

static bool on_progress(void *user, const DlrtProgress *p) {
    Run *run = user;
    double now = dlrt_seconds();
    if (run->tells_first) first_step_json(p);
    run->tells_first = false;
    if (isatty(STDERR_FILENO) && !run->options->json &&
        (now - run->drawn > 0.1 || p->batch == p->batches)) {
        run->drawn = now;
        char bar[31];
        int64_t done = p->steps ? p->step : p->batch, all = p->steps ? p->steps : p->batches;
        int64_t full = all ? 30 * done / all : 0;
        for (int i = 0; i < 30; i++) bar[i] = i < full ? '=' : i == full ? '>' : ' ';
        bar[30] = 0;
        fputc('\r', stderr);
        if (!p->steps)
            fprintf(stderr, "epoch %lld/%lld ", (long long)p->epoch, (long long)p->epochs);
        fprintf(stderr, "[%s] %lld/%lld  loss %.4g \033[K", bar, (long long)done, (long long)all,
                p->loss);
        fflush(stderr);
    }
    return !interrupted;
}

static void epoch_json(const Run *run, const DlrtEpoch *e) {
    if (e->steps)
        printf("{\"event\":\"steps\",\"step\":%lld,", (long long)e->step);
    else
        printf("{\"event\":\"epoch\",\"epoch\":%lld,", (long long)e->epoch);
    printf("\"train\":{\"loss\":");
    put_json_number(stdout, e->train_loss);
    printf("}");
    if (e->valid.present) {
        printf(",\"valid\":");
        put_scores_json(stdout, run->model, &e->valid);
    }
    printf(",\"seconds\":");
    put_json_number(stdout, e->seconds);
    printf("}\n");
}

static bool on_epoch(void *user, const DlrtEpoch *e) {
    Run *run = user;
    if (run->options->json) {
        epoch_json(run, e);
    } else {
        if (isatty(STDERR_FILENO)) clear_line();
        int64_t done = e->steps ? e->step : e->epoch, all = e->steps ? e->steps : e->epochs;
        int width = all > 9999 ? 7 : all > 99 ? 4 : 2;
        printf("%s %*lld/%lld  loss %-8.5g", e->steps ? "step" : "epoch", width, (long long)done,
               (long long)all, e->train_loss);
        if (e->valid.present) {
            printf("  valid: ");
            put_scores(stdout, run->model, &e->valid);
        }
        printf("  %.2f s\n", e->seconds);
    }
    fflush(stdout);
    return !interrupted;
}

static const char *const part_names[] = {"train", "valid", "test"};

static void put_end(const Run *run, const DlrtTrained *t) {
    const DlrtScores *scores[] = {&t->train, &t->valid, &t->test};
    if (!run->options->json) {
        for (int i = 0; i < 3; i++) {
            if (!scores[i]->present) continue;
            printf("%-6s ", part_names[i]);
            put_scores(stdout, run->model, scores[i]);
            put_example_count(stdout, scores[i]);
        }
        int64_t done = run->spec.steps ? t->steps : t->epochs;
        put_counted(stdout, done, run->spec.steps ? "step" : "epoch");
        printf(" in %.2f s%s\n", t->seconds,
               t->stopped     ? ", stopped"
               : t->impatient ? ", then validation went no better"
                              : "");
        return;
    }
    printf("{\"event\":\"end\",\"epochs\":%lld,\"steps\":%lld", (long long)t->epochs,
           (long long)t->steps);
    for (int i = 0; i < 3; i++) {
        if (!scores[i]->present) continue;
        printf(",\"%s\":", part_names[i]);
        put_scores_json(stdout, run->model, scores[i]);
    }
    printf(",\"stopped\":%s,\"impatient\":%s,\"seconds\":", t->stopped ? "true" : "false",
           t->impatient ? "true" : "false");
    put_json_number(stdout, t->seconds);
    printf("}\n");
}

/* In the REPL the trained weights stay for the next command. */
static void keep_session(Run *run) {
    if (!run->driver->interactive) return;
    if (run->driver->session) dlrt_session_close(run->driver->session);
    run->driver->session = run->session;
    run->driver->model = run->model;
    run->own_session = false;
}

/* Whether the weights can be written is found out before the training, not after it. */
static bool can_save(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    char *folder = strndup(length ? path : "./", length ? length : 2);
    struct stat status;
    bool is_folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    if (is_folder) errno = EISDIR;
    bool good = folder && !is_folder && access(folder, W_OK) == 0;
    if (!good) fprintf(stderr, "error: cannot write %s: %s\n", path, strerror(errno));
    free(folder);
    return good;
}

bool start_training(Run *run, DlrtTraining *training, DlrtTrained *trained, DlrtError *error) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND}, before;
    interrupted = 0;
    training->user = run;
    training->on_progress = on_progress;
    sigaction(SIGINT, &action, &before);
    bool good = dlrt_train(run->session, run->data, training, trained, error);
    sigaction(SIGINT, &before, NULL);
    if (isatty(STDERR_FILENO) && !run->options->json) clear_line();
    return good;
}

/* A session with the weights of a file. The split of the data, too, is a function of the seed:
 * theirs, if no other is asked for, so that what they were tested on stays apart from what they
 * learn. */
static int open_weights(Run *run, const char *weights, int64_t *epochs) {
    DlrtError error = {0};
    if (!open_session(run, &error)) return fail(run, &error);
    if (weights && !dlrt_load(run->session, weights, epochs, &error)) return fail(run, &error);
    if (!run->options->has_seed) run->spec.seed = dlrt_session_seed(run->session);
    return EXIT_GOOD;
}

static int train(Run *run, int64_t done) {
    const Options *options = run->options;
    DlrtError error = {0};
    DlrtTrained trained;
    DlrtTraining training = {.epochs = run->spec.epochs,
                             .steps = run->spec.steps,
                             .batch = run->model->max_batch,
                             .first_epoch = done,
                             .patience = run->spec.patience,
                             .seed = run->spec.seed,
                             .on_epoch = on_epoch};
    const char *unit = training.steps ? "steps" : "epochs";
    if (training.steps) done = (int64_t)dlrt_session_step(run->session);
    if (done >= (training.steps ? training.steps : training.epochs)) {
        fprintf(stderr, "error: %s already has %lld %s; ask for more with --%s\n", options->resume,
                (long long)done, unit, unit);
        close_run(run);
        return EXIT_WRONG;
    }
    run->tells_first = options->json;
    if (!start_training(run, &training, &trained, &error)) return fail(run, &error);
    if (options->save && !dlrt_save(run->session, options->save, trained.epochs, &error))
        return fail(run, &error);
    put_end(run, &trained);
    if (options->save) fprintf(stderr, "wrote %s\n", options->save);
    keep_session(run);
    close_run(run);
    return trained.stopped ? EXIT_INTERRUPTED : EXIT_GOOD;
}

int open_trainable(Run *run, Driver *driver, const Options *options) {
    int status = open_model(run, driver, options, false);
    if (status != EXIT_GOOD || run->model->step) return status;
    const DlrtModel *m = run->model;
    fprintf(stderr, "error: model `%s` cannot be trained: it has no %s\n", m->name,
            !m->evaluate  ? "`loss` statement"
            : !m->nparams ? "parameters"
                          : "`optimizer` statement");
    return EXIT_WRONG;
}

int run_train(Driver *driver, const Options *options) {
    Run run;
    if (options->folds || options->ntrials) return run_trials(driver, options);
    int status = open_trainable(&run, driver, options);
    if (status != EXIT_GOOD) return status;
    if (options->save && !can_save(options->save)) return EXIT_WRONG;
    int64_t done = 0;
    status = open_weights(&run, options->resume, &done);
    if (status == EXIT_GOOD) status = open_data(&run);
    if (status == EXIT_GOOD) return train(&run, done);
    close_run(&run);
    return status;
}

/* ---- eval and predict --------------------------------------------------------------------- */

int load_weights(Run *run) {
    int64_t epoch;
    if (run->session) {
        if (!run->options->has_seed) run->spec.seed = dlrt_session_seed(run->session);
        return EXIT_GOOD;
    }
    if (!run->options->weights) {
        fprintf(stderr,
                "error: say which weights: --weights FILE, written by `dlc %s train --save FILE`\n",
                run->options->file ? run->options->file : "FILE.dl");
        close_run(run);
        return EXIT_USAGE;
    }
    return open_weights(run, run->options->weights, &epoch);
}

static bool wants_all(const Run *run) {
    return run->options->part && strcmp(run->options->part, "all") == 0;
}

static const char *part_name(const Run *run, DlrtPart part) {
    return wants_all(run) ? "all" : part_names[part];
}

/* The part asked for, or the last that there is. */
static int choose_part(const Run *run, DlrtPart *part) {
    *part = DLRT_TEST;
    if (wants_all(run)) return EXIT_GOOD;
    for (int i = DLRT_PARTS - 1; i >= 0; i--) {
        bool asked = run->options->part && strcmp(run->options->part, part_names[i]) == 0;
        bool found = dlrt_data_count(run->data, (DlrtPart)i) > 0;
        if (asked && !found) {
            fprintf(stderr, "error: the data has no %s part\n", part_names[i]);
            return EXIT_USAGE;
        }
        if (asked || (!run->options->part && found)) {
            *part = (DlrtPart)i;
            return EXIT_GOOD;
        }
    }
    fprintf(stderr, "dlc: --part wants train, valid, test or all, got `%s`\n", run->options->part);
    return EXIT_USAGE;
}

/* Everything that eval and predict need; EXIT_GOOD or closed. Predictions need no targets. */
static int open_trained(Run *run, Driver *driver, const Options *options, bool unlabelled,
                        DlrtPart *part) {
    int status = open_model(run, driver, options, true);
    if (status == EXIT_GOOD) status = load_weights(run);
    if (status == EXIT_GOOD && run->data_spec) {
        run->asked_data = *run->data_spec;
        run->asked_data.whole = wants_all(run);
        run->asked_data.unlabelled = unlabelled;
        run->data_spec = &run->asked_data;
    }
    if (status == EXIT_GOOD) status = open_data(run);
    if (status != EXIT_GOOD) return status;
    int64_t skipped = dlrt_data_skipped(run->data);
    if (skipped)
        fprintf(stderr, "note: %lld row%s left out, because a value is missing\n",
                (long long)skipped, skipped == 1 ? " is" : "s are");
    status = choose_part(run, part);
    if (status != EXIT_GOOD) close_run(run);
    return status;
}

int run_eval(Driver *driver, const Options *options) {
    Run run;
    DlrtPart part;
    DlrtScores scores;
    DlrtError error = {0};
    int status = open_trained(&run, driver, options, false, &part);
    if (status != EXIT_GOOD) return status;
    if (!run.model->evaluate) {
        fprintf(stderr,
                "error: model `%s` has neither loss nor metric, so there is nothing to evaluate\n",
                run.model->name);
        close_run(&run);
        return EXIT_WRONG;
    }
    if (!dlrt_evaluate(run.session, run.data, part, &scores, &error)) return fail(&run, &error);
    if (options->json) {
        put_scores_json(stdout, run.model, &scores);
        putchar('\n');
    } else {
        printf("%-6s ", part_name(&run, part));
        put_scores(stdout, run.model, &scores);
        put_example_count(stdout, &scores);
    }
    close_run(&run);
    return EXIT_GOOD;
}

/* One value of a port of the model, as a float. */
static double value_at(const DlrtModel *model, const DlrtPort *port, const void *array, int64_t i) {
    if (port->classes) return ((const int32_t *)array)[i];
    return model->real_bytes == 8 ? ((const double *)array)[i] : ((const float *)array)[i];
}

static int64_t port_bytes(const DlrtModel *model, const DlrtPort *port) {
    return port->classes ? 4 : model->real_bytes;
}

/* The target whose classes an output of probabilities or scores stands for: same number of classes.
 */
static int class_port(const DlrtModel *model, const DlrtPort *output) {
    int64_t classes = output->classes ? output->classes : output->rank == 1 ? output->elements : 0;
    for (uint32_t i = 0; classes > 1 && i < model->ntargets; i++)
        if (model->targets[i].classes == classes) return (int)(model->ninputs + i);
    return -1;
}

static int64_t best_class(const DlrtModel *model, const DlrtPort *port, const void *array,
                          int64_t first) {
    if (port->classes) return (int64_t)value_at(model, port, array, first);
    int64_t best = 0;
    for (int64_t k = 1; k < port->elements; k++)
        if (value_at(model, port, array, first + k) > value_at(model, port, array, first + best))
            best = k;
    return best;
}

static void put_class(FILE *out, const DlrtData *data, int port, int64_t k) {
    const char *name = dlrt_data_class(data, (uint32_t)port, k);
    if (name)
        fputs(name, out);
    else
        fprintf(out, "%lld", (long long)k);
}

/* A target with the shape of this output: its scale is the output's too. */
static int value_port(const DlrtModel *model, uint32_t output) {
    if (model->noutputs != model->ntargets && model->ntargets != 1) return -1;
    uint32_t target = model->noutputs == model->ntargets ? output : 0;
    const DlrtPort *port = &model->targets[target];
    bool same = !port->classes && port->elements == model->outputs[output].elements;
    return same ? (int)(model->ninputs + target) : -1;
}

static void put_values(const Run *run, uint32_t output, const void *array, int64_t first,
                       bool json) {
    const DlrtPort *port = &run->model->outputs[output];
    int target = value_port(run->model, output);
    if (json || port->elements != 1) putchar('[');
    for (int64_t k = 0; k < port->elements; k++) {
        double value = value_at(run->model, port, array, first + k);
        if (target >= 0) value = dlrt_data_unscale(run->data, (uint32_t)target, k, value);
        if (k) fputs(json ? "," : ", ", stdout);
        if (json)
            put_json_number(stdout, value);
        else
            printf("%.5g", value);
    }
    if (json || port->elements != 1) putchar(']');
}

static void put_prediction_json(const Run *run, DlrtPart part, int64_t example,
                                void *const *outputs) {
    const DlrtModel *m = run->model;
    printf("{\"example\":%lld,\"part\":\"%s\"", (long long)example, part_name(run, part));
    int nclasses = 0;
    for (uint32_t i = 0; i < m->noutputs; i++) {
        int64_t first = m->outputs[i].batched ? example * m->outputs[i].elements : 0;
        int port = class_port(m, &m->outputs[i]);
        putchar(',');
        put_json_string(stdout, m->outputs[i].name);
        putchar(':');
        put_values(run, i, outputs[i], first, true);
        if (port < 0) continue;
        int64_t k = best_class(m, &m->outputs[i], outputs[i], first);
        const char *name = dlrt_data_class(run->data, (uint32_t)port, k);
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)k);
        char key[256];
        snprintf(key, sizeof key, nclasses++ ? "%s.class" : "class", m->outputs[i].name);
        putchar(',');
        put_json_string(stdout, key);
        putchar(':');
        put_json_string(stdout, name ? name : number);
    }
    printf("}\n");
}

static void put_truth(const Run *run, DlrtPart part, int64_t example) {
    const DlrtModel *m = run->model;
    for (uint32_t i = 0; i < m->ntargets; i++) {
        const DlrtPort *port = &m->targets[i];
        const void *values = dlrt_data_example(run->data, part, m->ninputs + i, example);
        double value = value_at(m, port, values, 0);
        bool lacks = port->classes ? value < 0 : isnan(value);
        if (port->elements != 1 || lacks) continue;
        printf("   %s ", port->name);
        if (port->classes)
            put_class(stdout, run->data, (int)(m->ninputs + i), (int64_t)value);
        else
            printf("%.5g", dlrt_data_unscale(run->data, m->ninputs + i, 0, value));
    }
}

static void put_prediction(const Run *run, DlrtPart part, int64_t example, void *const *outputs) {
    const DlrtModel *m = run->model;
    for (uint32_t i = 0; run->options->show && i < m->ninputs && m->real_bytes == 4; i++)
        put_picture(stdout, &m->inputs[i], dlrt_data_example(run->data, part, i, example));
    printf("%s %lld:", part_name(run, part), (long long)example);
    for (uint32_t i = 0; i < m->noutputs; i++) {
        const DlrtPort *port = &m->outputs[i];
        int64_t first = port->batched ? example * port->elements : 0;
        int classes = class_port(m, port);
        printf("  %s ", port->name);
        if (classes < 0) {
            put_values(run, i, outputs[i], first, false);
            continue;
        }
        int64_t k = best_class(m, port, outputs[i], first);
        put_class(stdout, run->data, classes, k);
        if (!port->classes) printf(" (%.4g)", value_at(m, port, outputs[i], first + k));
    }
    put_truth(run, part, example);
    printf(run->options->show ? "\n\n" : "\n");
}

/* ---- pictures ------------------------------------------------------------------------------ */

/* [H, W], [1, H, W] or [3, H, W] */
static bool is_picture(const DlrtPort *port, DlrtPictures *p) {
    bool channels = port->rank == 3 && (port->dims[0] == 1 || port->dims[0] == 3);
    if (port->classes || (port->rank != 2 && !channels)) return false;
    *p = (DlrtPictures){.channels = channels ? port->dims[0] : 1,
                        .height = port->dims[port->rank - 2],
                        .width = port->dims[port->rank - 1]};
    return p->height > 1 && p->width > 1;
}

static bool is_asked(const Run *run, const DlrtPort *port, DlrtPictures *p) {
    const char *name = run->options->port;
    return is_picture(port, p) && (!name || strcmp(name, port->name) == 0);
}

/* The values of the port for n examples, as floats; NULL: no such port, or no memory. */
static float *picture_values(const Run *run, DlrtPart part, int64_t n, void *const *outputs,
                             DlrtPictures *p) {
    const DlrtModel *m = run->model;
    const DlrtPort *port = NULL;
    uint32_t at = 0;
    for (; at < m->noutputs && !port; at++)
        if (is_asked(run, &m->outputs[at], p)) port = &m->outputs[at];
    const void *output = port ? outputs[at - 1] : NULL;
    for (at = 0; at < m->ninputs && !port; at++)
        if (run->options->port && is_asked(run, &m->inputs[at], p)) port = &m->inputs[at];
    if (!port) return NULL;
    p->count = output && !port->batched ? 1 : n;
    float *values = calloc((size_t)(p->count * port->elements), sizeof *values);
    for (int64_t i = 0; values && i < p->count; i++) {
        const void *array = output ? output : dlrt_data_example(run->data, part, at - 1, i);
        int64_t first = output ? i * port->elements : 0;
        for (int64_t k = 0; k < port->elements; k++)
            values[i * port->elements + k] = (float)value_at(m, port, array, first + k);
    }
    return values;
}

static bool write_sheet(const Run *run, DlrtPart part, int64_t n, void *const *outputs,
                        DlrtError *error) {
    DlrtPictures pictures;
    float *values = picture_values(run, part, n, outputs, &pictures);
    if (!values) {
        snprintf(error->message, sizeof error->message,
                 "model `%s` has no output%s%s%s that is a picture, [H, W], [1, H, W] or [3, H, W]",
                 run->model->name, run->options->port ? " `" : "",
                 run->options->port ? run->options->port : "", run->options->port ? "`" : "");
        return false;
    }
    pictures.values = values;
    bool good = dlrt_write_sheet(&pictures, run->options->png, error);
    free(values);
    if (good) fprintf(stderr, "wrote %s\n", run->options->png);
    return good;
}

static bool allocate_outputs(const DlrtModel *m, int64_t n, void **outputs) {
    for (uint32_t i = 0; i < m->noutputs; i++) {
        int64_t elements = m->outputs[i].elements * (m->outputs[i].batched ? n : 1);
        outputs[i] = calloc((size_t)elements + 1, (size_t)port_bytes(m, &m->outputs[i]));
        if (!outputs[i]) return false;
    }
    return true;
}

int run_predict(Driver *driver, const Options *options) {
    Run run;
    DlrtPart part;
    DlrtError error = {0};
    Options forward = *options;
    forward.inference = true;
    int status = open_trained(&run, driver, &forward, true, &part);
    if (status != EXIT_GOOD) return status;
    const DlrtModel *m = run.model;
    int64_t n = dlrt_data_count(run.data, part);
    if (options->count && options->count < n) n = options->count;
    void **outputs = calloc(m->noutputs + 1, sizeof *outputs);
    bool good = outputs && allocate_outputs(m, n, outputs);
    if (!good)
        snprintf(error.message, sizeof error.message, "out of memory for %lld predictions",
                 (long long)n);
    good = good && dlrt_predict(run.session, run.data, part, 0, n, outputs, &error);
    if (good && options->png) good = write_sheet(&run, part, n, outputs, &error);
    for (int64_t i = 0; good && !options->png && i < n; i++) {
        if (options->json)
            put_prediction_json(&run, part, i, outputs);
        else
            put_prediction(&run, part, i, outputs);
    }
    for (uint32_t i = 0; outputs && i < m->noutputs; i++) free(outputs[i]);
    free(outputs);
    if (!good) return fail(&run, &error);
    close_run(&run);
    return EXIT_GOOD;
}
