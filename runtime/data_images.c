/* runtime/data_images.c: folders of pictures, a sub-folder a class.
 *
 * in: a folder whose sub-folders hold PNG and JPEG files     out: a block of pixels and one of
 * classes; the classes are the names of the sub-folders, sorted, over all sources together
 * Files whose name begins with a point are left out.
 */
#include "runtime/private.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Entries {
    char **names;
    int64_t count, capacity;
} Entries;

typedef struct Images {
    Loader *loader;
    ImageWanted wanted;
    unsigned char *pixels;
    const char **labels; /* the class of each, as text */
    int64_t count, capacity, elements;
} Images;

/* ---- the model ----------------------------------------------------------------------------- */

/* x[28, 28], x[1, 28, 28] or x[3, 28, 28] */
static bool find_wanted(const DlrtPort *port, ImageWanted *wanted) {
    if (port->rank < 2 || port->rank > 3 || port->classes) return false;
    const int64_t *dims = port->dims + (port->rank - 2);
    *wanted = (ImageWanted){port->rank == 3 ? port->dims[0] : 1, dims[0], dims[1]};
    return wanted->channels == 1 || wanted->channels == 3;
}

static bool check_model(const Loader *loader, ImageWanted *wanted) {
    const DlrtModel *model = loader->model;
    if (model->ninputs == 1 && model->ntargets == 1 && find_wanted(&model->inputs[0], wanted) &&
        model->targets[0].elements == 1 && model->targets[0].classes)
        return true;
    return error_set(loader->error, (Place){0},
                     "images is for a model with one input of 1 or 3 channels and one target, a "
                     "class: input x[3, 32, 32]; target y: class(10)");
}

/* ---- folders --------------------------------------------------------------------------------- */

static bool add_entry(Pool *pool, Entries *entries, const char *name) {
    if (entries->count == entries->capacity) {
        int64_t capacity = entries->capacity ? entries->capacity * 2 : 64;
        char **names = pool_take(pool, capacity, sizeof *names);
        if (!names) return false;
        if (entries->count) memcpy(names, entries->names, (size_t)entries->count * sizeof *names);
        entries->names = names;
        entries->capacity = capacity;
    }
    entries->names[entries->count] = pool_text(pool, name);
    return entries->names[entries->count++] != NULL;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted. */
static bool list_folder(Loader *loader, const char *path, Entries *entries) {
    DIR *folder = opendir(path);
    bool good = true;
    *entries = (Entries){0};
    if (!folder)
        return error_set(loader->error, (Place){.path = path}, "cannot open this folder: %s",
                         strerror(errno));
    for (const struct dirent *e = readdir(folder); e && good; e = readdir(folder))
        if (e->d_name[0] != '.') good = add_entry(&loader->pool, entries, e->d_name);
    closedir(folder);
    if (!good) return error_memory(loader->error, "the names of files");
    if (entries->count)
        qsort(entries->names, (size_t)entries->count, sizeof *entries->names, compare_names);
    return true;
}

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* ---- pictures ----------------------------------------------------------------------------------
 */

static bool grow(Images *images) {
    Pool *pool = &images->loader->pool;
    int64_t capacity = images->capacity ? images->capacity * 2 : 256;
    unsigned char *pixels =
        pool_take(pool, size_product(capacity, images->elements), sizeof *pixels);
    const char **labels = pool_take(pool, capacity, sizeof *labels);
    if (!pixels || !labels) return error_memory(images->loader->error, "the pictures");
    if (images->count) {
        memcpy(pixels, images->pixels, (size_t)(images->count * images->elements));
        memcpy(labels, images->labels, (size_t)images->count * sizeof *labels);
    }
    images->pixels = pixels;
    images->labels = labels;
    images->capacity = capacity;
    return true;
}

static bool read_picture(Images *images, const char *path, const char *label) {
    Loader *loader = images->loader;
    Pool pool = {0};
    Bytes file;
    if (images->count == images->capacity && !grow(images)) return false;
    bool good = file_read_plain(&pool, path, &file, loader->error) &&
                image_decode(&file, path, &images->wanted,
                             images->pixels + images->count * images->elements, loader->error);
    pool_free(&pool);
    images->labels[images->count] = label;
    images->count += good;
    return good;
}

static bool read_class(Images *images, const char *folder, const char *label) {
    Loader *loader = images->loader;
    Entries files;
    if (!list_folder(loader, folder, &files)) return false;
    for (int64_t i = 0; i < files.count; i++) {
        const char *path = pool_join(&loader->pool, folder, files.names[i]);
        if (!path) return error_memory(loader->error, "the names of files");
        if (!read_picture(images, path, label)) return false;
    }
    return true;
}

bool images_read(Loader *loader, SourceRows *source) {
    Images images = {.loader = loader};
    const char *path;
    uint32_t files;
    Entries classes;
    if (!check_model(loader, &images.wanted)) return false;
    images.elements = loader->ports[0]->elements;
    if (!reader_files(loader, source, &path, 1, &files)) return false;
    if (!list_folder(loader, path, &classes)) return false;
    for (int64_t i = 0; i < classes.count; i++) {
        const char *folder = pool_join(&loader->pool, path, classes.names[i]);
        if (!folder) return error_memory(loader->error, "the names of files");
        if (is_folder(folder) && !read_class(&images, folder, classes.names[i])) return false;
    }
    if (images.count == 0)
        return error_set(loader->error, (Place){.path = path},
                         "there are no pictures in the folders of this folder, which would be the "
                         "classes");
    source->path = path;
    source->rows = images.count;
    source->labels = images.labels;
    source->blocks = pool_take(&loader->pool, 2, sizeof *source->blocks);
    unsigned char *pixels = pool_take(&loader->data->pool, images.count, (size_t)images.elements);
    if (!source->blocks || !pixels) return error_memory(loader->error, "the pictures");
    memcpy(pixels, images.pixels, (size_t)(images.count * images.elements));
    source->blocks[0] =
        (Block){NUMBER_U8, path, images.count, images.elements, images.elements, pixels};
    return true;
}

/* ---- classes -----------------------------------------------------------------------------------
 */

static bool has_labels(const Loader *loader) {
    for (uint32_t s = 0; s < loader->spec->nsources; s++)
        if (loader->sources[s].labels) return true;
    return false;
}

static bool collect_labels(Loader *loader, Texts *names) {
    if (!has_labels(loader)) return true;
    const char *port = loader->ports[1]->name;
    if (notes_have(loader->known, port, "classes"))
        return notes_texts(loader, port, "classes", names);
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        const SourceRows *source = &loader->sources[s];
        for (int64_t i = 0; source->labels && i < source->rows; i++)
            if (texts_add(names, source->labels[i]) < 0)
                return error_memory(loader->error, "the classes");
    }
    return names->count == 0 || texts_order(names, false);
}

static bool check_classes(const Loader *loader, const Texts *names) {
    const DlrtPort *port = loader->ports[1];
    uint32_t s = 0;
    if (names->count <= port->classes) return true;
    while (!loader->sources[s].labels) s++;
    return error_set(loader->error, (Place){.path = loader->sources[s].path},
                     "there are %lld folders with pictures, but `%s` is class(%lld)",
                     (long long)names->count, port->name, (long long)port->classes);
}

static bool keep_names(Loader *loader, const Texts *names) {
    PortData *port = &loader->data->ports[1];
    Pool *pool = &loader->data->pool;
    port->texts = pool_take(pool, names->count, sizeof *port->texts);
    if (!port->texts) return error_memory(loader->error, "the classes");
    for (int64_t k = 0; k < names->count; k++)
        if (!(port->texts[k] = pool_text(pool, names->items[k])))
            return error_memory(loader->error, "the classes");
    port->ntexts = names->count;
    return notes_put_texts(loader, port->name, "classes", names->items, names->count);
}

bool images_map(Loader *loader) {
    Texts names = {.pool = &loader->pool};
    if (!collect_labels(loader, &names)) return false;
    if (names.count == 0) return true;
    if (!check_classes(loader, &names) || !keep_names(loader, &names)) return false;
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        SourceRows *source = &loader->sources[s];
        if (!source->labels) continue;
        double *classes = pool_take(&loader->pool, source->rows, sizeof *classes);
        if (!classes) return error_memory(loader->error, "the classes");
        for (int64_t i = 0; i < source->rows; i++) {
            classes[i] = (double)texts_find(&names, source->labels[i]);
            if (classes[i] < 0)
                return error_set(loader->error, (Place){.path = source->path},
                                 "the folder `%s` is of no class that the weights were trained on",
                                 error_quote(source->labels[i]).text);
        }
        source->blocks[1] = (Block){NUMBER_NATIVE, source->path, source->rows, 1, 1, classes};
    }
    return true;
}
