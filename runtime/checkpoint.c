/* runtime/checkpoint.c: weights in safetensors files.
 *
 * in/out: the parameters by name, the state as "state.NAME"; step, seed, epoch and notes on the
 * training data as metadata
 * invariant: a file that was there stays as it was until the new one is complete on disk; a session
 * stays as it was when a file cannot be loaded.
 */
#include "runtime/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are written as they are in memory, and safetensors is little-endian"
#endif

enum { STATE_PREFIX = 6 }; /* of "state." */

/* ---- writing ----------------------------------------------------------------------------- */

typedef struct Writer {
    const char *path; /* what the user named */
    int fd;
    char *header;
    size_t length, capacity;
    bool failed;
    DlrtError *error;
} Writer;

static void put(Writer *w, const char *text, size_t length) {
    if (w->failed) return;
    if (w->length + length > w->capacity) {
        size_t capacity = (w->length + length) * 2;
        char *header = realloc(w->header, capacity);
        if (!header) {
            w->failed = true;
            return;
        }
        w->header = header;
        w->capacity = capacity;
    }
    memcpy(w->header + w->length, text, length);
    w->length += length;
}

static void put_text(Writer *w, const char *text) {
    put(w, text, strlen(text));
}

static void put_whole(Writer *w, uint64_t value) {
    char text[24];
    put(w, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, value));
}

static void put_string(Writer *w, const char *prefix, const char *text) {
    put_text(w, "\"");
    put_text(w, prefix);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char escape[8];
        if (c == '"' || c == '\\' || c < 0x20)
            put(w, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
        else
            put(w, text, 1);
    }
    put_text(w, "\"");
}

static uint32_t element_bytes(const DlrtTensor *tensor, uint32_t real_bytes) {
    return tensor->rounded ? 2 : real_bytes;
}

static void put_tensor(Writer *w, const DlrtTensor *tensor, const char *prefix, uint32_t real_bytes,
                       uint64_t *offset) {
    put_text(w, ",");
    put_string(w, prefix, tensor->name);
    put_text(w, ":{\"dtype\":\"");
    put_text(w, tensor->rounded ? "BF16" : real_bytes == 8 ? "F64" : "F32");
    put_text(w, "\",\"shape\":[");
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (i) put_text(w, ",");
        put_whole(w, (uint64_t)tensor->dims[i]);
    }
    put_text(w, "],\"data_offsets\":[");
    put_whole(w, *offset);
    *offset += (uint64_t)tensor->elements * element_bytes(tensor, real_bytes);
    put_text(w, ",");
    put_whole(w, *offset);
    put_text(w, "]}");
}

static bool put_header(Writer *w, const DlrtSession *session, int64_t epoch) {
    const DlrtModel *model = session->model;
    uint64_t offset = 0;
    put(w, "        ", 8); /* for the length */
    put_text(w, "{\"__metadata__\":{\"format\":\"dlc\",\"model\":");
    put_string(w, "", model->name);
    put_text(w, ",\"step\":\"");
    put_whole(w, session->step);
    put_text(w, "\",\"seed\":\"");
    put_whole(w, session->seed);
    put_text(w, "\",\"epoch\":\"");
    put_whole(w, epoch > 0 ? (uint64_t)epoch : 0);
    put_text(w, "\"");
    for (int64_t i = 0; i < session->notes.count; i++) {
        put_text(w, ",");
        put_string(w, "data.", session->notes.items[i].key);
        put_text(w, ":");
        put_string(w, "", session->notes.items[i].text);
    }
    put_text(w, "}");
    for (uint32_t i = 0; i < model->nparams; i++)
        put_tensor(w, &model->params[i], "", model->real_bytes, &offset);
    for (uint32_t i = 0; i < model->nstates; i++)
        put_tensor(w, &model->states[i], "state.", model->real_bytes, &offset);
    put_text(w, "}");
    while (w->length % 8 && !w->failed) put_text(w, " "); /* so that the data is aligned */
    if (w->failed) return error_memory(w->error, "saving");
    for (int i = 0; i < 8; i++)
        w->header[i] = (char)(unsigned char)((uint64_t)(w->length - 8) >> 8 * i);
    return true;
}

static bool fail_errno(const Writer *w, const char *what) {
    return error_set(w->error, (Place){.path = w->path}, "cannot %s: %s", what, strerror(errno));
}

static bool write_bytes(const Writer *w, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = write(w->fd, at, size > 1 << 30 ? 1 << 30 : size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_errno(w, "write");
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static bool write_tensors(const Writer *w, const DlrtTensor *tensors, uint32_t n,
                          const unsigned char *values, uint32_t real_bytes) {
    for (uint32_t i = 0; i < n; i++)
        if (!write_bytes(w, values + tensors[i].offset * real_bytes,
                         (size_t)tensors[i].elements * element_bytes(&tensors[i], real_bytes)))
            return false;
    return true;
}

static bool write_all(const Writer *w, const DlrtSession *s) {
    const DlrtModel *m = s->model;
    return write_bytes(w, w->header, w->length) &&
           write_tensors(w, m->params, m->nparams, s->params, m->real_bytes) &&
           write_tensors(w, m->states, m->nstates, s->state, m->real_bytes);
}

/* The name may only become durable after the content; a folder that cannot be synced is no error,
 * as the file is complete in any case. */
static void sync_folder(const char *path, Pool *pool) {
    char *folder = pool_text(pool, path);
    if (!folder) return;
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder ? 1 : 0] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* A file of its own beside the target, then renamed. */
static bool save_aside(Writer *w, const DlrtSession *session, Pool *pool, const char *target,
                       mode_t mode) {
    char *aside = pool_take(pool, (int64_t)strlen(target) + 8, 1);
    if (!aside) return error_memory(w->error, "saving");
    sprintf(aside, "%s.XXXXXX", target);
    w->fd = mkstemp(aside);
    if (w->fd < 0) return fail_errno(w, "write");
    bool good = write_all(w, session);
    if (good && (fchmod(w->fd, mode) != 0 || fsync(w->fd) != 0)) good = fail_errno(w, "write");
    if (close(w->fd) != 0 && good) good = fail_errno(w, "write");
    if (good && rename(aside, target) != 0) good = fail_errno(w, "write");
    if (good)
        sync_folder(target, pool);
    else
        unlink(aside);
    return good;
}

/* A device or a pipe is written to: replacing it by a file is not what anybody means. */
static bool save_into(Writer *w, const DlrtSession *session) {
    w->fd = open(w->path, O_WRONLY | O_CLOEXEC);
    if (w->fd < 0) return fail_errno(w, "open");
    bool good = write_all(w, session);
    if (close(w->fd) != 0 && good) good = fail_errno(w, "write");
    return good;
}

static mode_t new_mode(void) {
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

bool dlrt_save(const DlrtSession *session, const char *path, int64_t epoch, DlrtError *error) {
    Writer writer = {.path = path, .error = error};
    Pool pool = {0};
    struct stat status;
    bool good = put_header(&writer, session, epoch);
    bool there = stat(path, &status) == 0;
    if (good && there && S_ISDIR(status.st_mode)) {
        good = error_set(error, (Place){.path = path}, "this is a folder, not a file");
    } else if (good && there && !S_ISREG(status.st_mode)) {
        good = save_into(&writer, session);
    } else if (good && there && access(path, W_OK) != 0) {
        good = fail_errno(&writer, "write");
    } else if (good) {
        char *real = there ? realpath(path, NULL) : NULL; /* the file that a link means */
        good = save_aside(&writer, session, &pool, real ? real : path,
                          there ? status.st_mode & 07777 : new_mode());
        free(real);
    }
    free(writer.header);
    pool_free(&pool);
    return good;
}

/* ---- reading ----------------------------------------------------------------------------- */

typedef struct Load {
    DlrtSession *session;
    const char *path;
    const Bytes *file;
    SavedHeader header;
    DlrtError *error;
} Load;

static const SavedTensor *find_saved(const Load *load, const char *prefix, const char *name) {
    int64_t low = 0, high = load->header.count;
    size_t length = strlen(prefix);
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        const char *found = load->header.tensors[middle].name;
        int order = strncmp(found, prefix, length);
        if (order == 0) order = strcmp(found + length, name);
        if (order == 0) return &load->header.tensors[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool has_state(const Load *load) {
    for (int64_t i = 0; i < load->header.count; i++)
        if (strncmp(load->header.tensors[i].name, "state.", STATE_PREFIX) == 0) return true;
    return false;
}

static void shape_text(uint32_t rank, const int64_t *dims, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < rank && used + 1 < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "", (long long)dims[i]);
    if (used + 1 < size) snprintf(text + used, size - used, "]");
}

static bool check_tensor(const Load *load, const DlrtTensor *tensor, const char *prefix) {
    const SavedTensor *saved = find_saved(load, prefix, tensor->name);
    Place place = {.path = load->path};
    if (!saved)
        return error_set(load->error, place, "`%s%s` of model `%s` is not in this file", prefix,
                         tensor->name, load->session->model->name);
    bool same = saved->rank == tensor->rank;
    for (uint32_t i = 0; same && i < saved->rank; i++) same = saved->dims[i] == tensor->dims[i];
    if (!same) {
        char here[128], there[128];
        shape_text(saved->rank, saved->dims, here, sizeof here);
        shape_text(tensor->rank, tensor->dims, there, sizeof there);
        return error_set(load->error, place,
                         "`%s%s` has shape %s in this file, but %s in model `%s`", prefix,
                         tensor->name, here, there, load->session->model->name);
    }
    if (strcmp(saved->type, "F64") != 0 && strcmp(saved->type, "F32") != 0 &&
        strcmp(saved->type, "F16") != 0 && strcmp(saved->type, "BF16") != 0)
        return error_set(load->error, place,
                         "`%s%s` is of type %s here: F16, BF16, F32 and F64 "
                         "can be loaded",
                         prefix, tensor->name, saved->type);
    return true;
}

static bool is_tensor_of(const DlrtTensor *tensors, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(tensors[i].name, name) == 0) return true;
    return false;
}

/* Names and shapes, both ways; but a model that cannot be trained lacks what only training reads.
 */
static bool check_names(const Load *load, bool state) {
    const DlrtModel *model = load->session->model;
    for (uint32_t i = 0; i < model->nparams; i++)
        if (!check_tensor(load, &model->params[i], "")) return false;
    for (uint32_t i = 0; i < model->nstates && state; i++)
        if (!check_tensor(load, &model->states[i], "state.")) return false;
    for (int64_t i = 0; i < load->header.count; i++) {
        const char *name = load->header.tensors[i].name;
        bool is_state = strncmp(name, "state.", STATE_PREFIX) == 0;
        if (is_tensor_of(model->params, model->nparams, name) || (is_state && !model->step) ||
            (is_state && is_tensor_of(model->states, model->nstates, name + STATE_PREFIX)))
            continue;
        return error_set(load->error, (Place){.path = load->path},
                         "`%s` is in this file, but model `%s` has no %s of that name",
                         error_quote(name).text, model->name, is_state ? "state" : "parameter");
    }
    return true;
}

/* IEEE binary16. */
static double half_of(unsigned bits) {
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023) / 1024;
    double value = exponent == 31  ? (fraction > 0 ? NAN : INFINITY)
                   : exponent == 0 ? ldexp(fraction, -14)
                                   : ldexp(1 + fraction, exponent - 15);
    return bits & 0x8000 ? -value : value;
}

static double saved_value(const SavedTensor *saved, const unsigned char *data, int64_t i) {
    double wide;
    float narrow;
    uint16_t half;
    if (strcmp(saved->type, "F64") == 0) {
        memcpy(&wide, data + i * 8, 8);
        return wide;
    }
    if (strcmp(saved->type, "F32") == 0) {
        memcpy(&narrow, data + i * 4, 4);
        return narrow;
    }
    memcpy(&half, data + i * 2, 2);
    if (strcmp(saved->type, "F16") == 0) return half_of(half);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(&narrow, &bits, 4);
    return narrow;
}

static float float_of(double value) {
    if (isnan(value)) return NAN;
    if (fabs(value) < 3.4028235677973366e38) return (float)value;
    return value < 0 ? -INFINITY : INFINITY;
}

/* bf16, to the nearest, ties to even. */
static uint16_t rounded_of(double value) {
    float narrow = float_of(value);
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    if (isnan(narrow)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void copy_tensor(const Load *load, const DlrtTensor *tensor, const char *prefix,
                        unsigned char *values) {
    const SavedTensor *saved = find_saved(load, prefix, tensor->name);
    const unsigned char *data = load->file->data + load->header.data_begin + saved->begin;
    uint32_t real_bytes = load->session->model->real_bytes;
    unsigned char *to = values + tensor->offset * real_bytes;
    const char *type = tensor->rounded ? "BF16" : real_bytes == 8 ? "F64" : "F32";
    if (strcmp(saved->type, type) == 0) {
        memcpy(to, data, saved->end - saved->begin);
        return;
    }
    for (int64_t i = 0; i < tensor->elements; i++) {
        double value = saved_value(saved, data, i);
        if (tensor->rounded)
            ((uint16_t *)(void *)to)[i] = rounded_of(value);
        else if (real_bytes == 8)
            ((double *)(void *)to)[i] = value;
        else
            ((float *)(void *)to)[i] = float_of(value);
    }
}

/* A number of the metadata; `absent` when it is not there. */
static bool parse_count(const Load *load, const char *what, const char *text, uint64_t *value) {
    char *end;
    *value = 0;
    if (!text) return true;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno)
        return error_set(load->error, (Place){.path = load->path},
                         "the %s in this file's metadata is no whole number: `%s`", what,
                         error_quote(text).text);
    *value = number;
    return true;
}

bool checkpoint_load(DlrtSession *session, const Bytes *file, const char *path, int64_t *epoch,
                     DlrtError *error) {
    Load load = {.session = session, .path = path, .file = file, .error = error};
    const DlrtModel *model = session->model;
    uint64_t step, seed, epochs;
    Pool pool = {0};
    bool good = header_parse(&pool, file, path, &load.header, error);
    bool state = good && has_state(&load);
    good = good && check_names(&load, state) &&
           parse_count(&load, "step", load.header.step, &step) &&
           parse_count(&load, "seed", load.header.seed, &seed) &&
           parse_count(&load, "epoch", load.header.epoch, &epochs) &&
           session_note(session, &load.header.notes, error);
    if (good && epochs > INT64_MAX) epochs = INT64_MAX;
    for (uint32_t i = 0; i < model->nparams && good; i++)
        copy_tensor(&load, &model->params[i], "", session->params);
    for (uint32_t i = 0; i < model->nstates && state && good; i++)
        copy_tensor(&load, &model->states[i], "state.", session->state);
    if (good) {
        /* Without the optimizer's state the steps counted before mean nothing. */
        session->step = state || model->nstates == 0 ? step : 0;
        if (load.header.seed) session->seed = seed;
        if (epoch) *epoch = (int64_t)epochs;
    }
    pool_free(&pool);
    return good;
}

bool dlrt_load(DlrtSession *session, const char *path, int64_t *epoch, DlrtError *error) {
    Pool pool = {0};
    Bytes file;
    bool good = file_read_plain(&pool, path, &file, error) &&
                checkpoint_load(session, &file, path, epoch, error);
    pool_free(&pool);
    return good;
}
