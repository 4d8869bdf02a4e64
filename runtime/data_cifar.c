/* runtime/data_cifar.c: small colour images in the binary format of CIFAR-10.
 *
 * in: files of records, each a byte with the class and 3 x 32 x 32 bytes: the red plane, the green,
 *     the blue (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)
 * out: two blocks over the same bytes: pixels for the input, labels for the target
 */
#include "runtime/private.h"

#include <string.h>

enum { PIXELS = 3 * 32 * 32, RECORD = 1 + PIXELS };

typedef struct Cifar {
    Loader *loader;
    const DlrtPort *label;
    unsigned char *bytes;
    size_t size;
} Cifar;

static bool check_model(const Loader *loader) {
    const DlrtModel *model = loader->model;
    bool one_each = model->ninputs == 1 && model->ntargets == 1;
    if (one_each && model->inputs[0].elements == PIXELS && !model->inputs[0].classes &&
        model->targets[0].elements == 1 && model->targets[0].classes)
        return true;
    return error_set(loader->error, (Place){0},
                     "cifar is for a model with one input of 3 x 32 x 32 numbers and one target, a "
                     "class: input x[3, 32, 32]; target y: class(10)");
}

/* Behind the records that are there already. */
static bool append(Cifar *cifar, const Bytes *file) {
    Pool *pool = &cifar->loader->data->pool;
    if (!cifar->size) {
        cifar->bytes = file->data;
    } else {
        unsigned char *all = pool_take(pool, (int64_t)(cifar->size + file->size), 1);
        if (!all) return error_memory(cifar->loader->error, "the images");
        memcpy(all, cifar->bytes, cifar->size);
        memcpy(all + cifar->size, file->data, file->size);
        cifar->bytes = all;
    }
    cifar->size += file->size;
    return true;
}

static bool check_labels(const Cifar *cifar, const char *path, const Bytes *file) {
    for (size_t at = 0; at < file->size; at += RECORD)
        if (file->data[at] >= cifar->label->classes)
            return error_set(cifar->loader->error, (Place){.path = path},
                             "record %zu (at byte %zu) has class %d, but `%s` takes classes 0 to "
                             "%lld",
                             at / RECORD + 1, at, file->data[at], cifar->label->name,
                             (long long)cifar->label->classes - 1);
    return true;
}

static bool read_records(Cifar *cifar, const char *path) {
    Bytes file;
    DlrtError *error = cifar->loader->error;
    /* What is only read to be copied is freed with the loader. */
    Pool *pool = cifar->size ? &cifar->loader->pool : &cifar->loader->data->pool;
    if (!file_read(pool, path, SIZE_MAX / 4, &file, error)) return false;
    if (file.size == 0)
        return error_set(error, (Place){.path = path}, "this file is empty: it holds no images");
    if (file.size % RECORD)
        return error_set(error, (Place){.path = path},
                         "this is no CIFAR file, or it is cut off: records have %d bytes, and "
                         "behind record %zu (from byte %zu) there are %zu",
                         RECORD, file.size / RECORD, file.size / RECORD * RECORD,
                         file.size % RECORD);
    return check_labels(cifar, path, &file) && append(cifar, &file);
}

bool cifar_read(Loader *loader, SourceRows *source) {
    Cifar cifar = {.loader = loader};
    uint32_t files;
    if (!check_model(loader)) return false;
    cifar.label = &loader->model->targets[0];
    const char **paths = pool_take(&loader->pool, source->spec->nargs, sizeof *paths);
    source->blocks = pool_take(&loader->pool, 2, sizeof *source->blocks);
    if (!paths || !source->blocks) return error_memory(loader->error, "a source");
    if (!reader_files(loader, source, paths, source->spec->nargs, &files)) return false;
    for (uint32_t i = 0; i < files; i++)
        if (!read_records(&cifar, paths[i])) return false;
    source->rows = (int64_t)(cifar.size / RECORD);
    source->blocks[0] = (Block){NUMBER_U8, paths[0], source->rows, PIXELS, RECORD, cifar.bytes + 1};
    source->blocks[1] = (Block){NUMBER_U8, paths[0], source->rows, 1, RECORD, cifar.bytes};
    return true;
}
