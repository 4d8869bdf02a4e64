/* runtime/data_idx.c: arrays of numbers in IDX files, plain or gzip, one file a port.
 *
 * in: files of 2 zero bytes, a type byte, the number of dimensions, the dimensions as 32-bit
 *     big-endian numbers, and the values (LeCun, Cortes, Burges: the format of MNIST)
 * out: a block per port; the first dimension counts the examples, the others make up the port
 */
#include "runtime/private.h"

#include <math.h>

typedef struct IdxType {
    unsigned char code;
    NumberType type;
    int64_t size;
} IdxType;

static const IdxType types[] = {
    {0x08, NUMBER_U8, 1},  {0x09, NUMBER_I8, 1},  {0x0B, NUMBER_I16, 2},
    {0x0C, NUMBER_I32, 4}, {0x0D, NUMBER_F32, 4}, {0x0E, NUMBER_F64, 8},
};

enum { NTYPES = sizeof types / sizeof types[0], HEADER_LIMIT = 4 + 4 * 255 };

typedef struct Idx {
    Loader *loader;
    const char *path;
    const IdxType *type;
    int64_t rows, elements, header_bytes, bytes;
    char shape[96]; /* for messages */
} Idx;

static bool read_magic(Idx *idx, const Bytes *bytes) {
    const unsigned char *p = bytes->data;
    Place place = {.path = idx->path};
    DlrtError *error = idx->loader->error;
    if (bytes->size < 4)
        return error_set(error, place, "this is no IDX file: it has only %zu bytes", bytes->size);
    if (p[0] != 0 || p[1] != 0)
        return error_set(error, place,
                         "this is no IDX file: it begins with the bytes %02x %02x instead of 00 00",
                         p[0], p[1]);
    for (int i = 0; i < NTYPES; i++)
        if (types[i].code == p[2]) idx->type = &types[i];
    if (!idx->type)
        return error_set(error, place,
                         "this is no IDX file: its third byte, the type, is %02x; known are "
                         "08, 09, 0b, 0c, 0d and 0e",
                         p[2]);
    if (p[3] == 0)
        return error_set(error, place, "this IDX file has no dimensions, so it holds no examples");
    idx->header_bytes = 4 + 4 * (int64_t)p[3];
    if ((int64_t)bytes->size < idx->header_bytes)
        return error_set(
            error, place,
            "the file ends within its header: %d dimensions take %lld bytes, found %zu", p[3],
            (long long)idx->header_bytes, bytes->size);
    return true;
}

static bool read_header(Idx *idx, const Bytes *bytes) {
    const unsigned char *p = bytes->data;
    size_t used = 0;
    if (!read_magic(idx, bytes)) return false;
    idx->elements = 1;
    for (int i = 0; i < p[3]; i++) {
        const unsigned char *d = p + 4 + 4 * i;
        int64_t dim = (int64_t)d[0] << 24 | d[1] << 16 | d[2] << 8 | d[3];
        if (i == 0)
            idx->rows = dim;
        else
            idx->elements = size_product(idx->elements, dim);
        if (used < sizeof idx->shape) {
            int n = snprintf(idx->shape + used, sizeof idx->shape - used, "%s%lld", i ? " x " : "",
                             (long long)dim);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    idx->bytes = size_product(size_product(idx->rows, idx->elements), idx->type->size);
    if (idx->bytes < 0 || (uint64_t)idx->bytes > SIZE_MAX / 4)
        return error_set(idx->loader->error, (Place){.path = idx->path},
                         "the header says %s values, which is more than can be read", idx->shape);
    return idx->rows > 0 || error_set(idx->loader->error, (Place){.path = idx->path},
                                      "this file holds no examples (%s)", idx->shape);
}

static bool check_shape(const Idx *idx, const DlrtPort *port) {
    if (idx->elements == port->elements) return true;
    return error_set(idx->loader->error, (Place){.path = idx->path},
                     "an example here has %lld number%s (the file is %s), but `%s` takes %lld (%s)",
                     (long long)idx->elements, idx->elements == 1 ? "" : "s", idx->shape,
                     port->name, (long long)port->elements, reader_shape(port).text);
}

static bool check_size(const Idx *idx, const Bytes *bytes) {
    int64_t found = (int64_t)bytes->size - idx->header_bytes;
    Place place = {.path = idx->path};
    if (found < idx->bytes)
        return error_set(idx->loader->error, place,
                         "the file is cut off: %s values take %lld bytes, found %lld", idx->shape,
                         (long long)idx->bytes, (long long)found);
    if (found > idx->bytes)
        return error_set(idx->loader->error, place,
                         "the file is longer than its header says: %s values take %lld bytes, "
                         "there are more",
                         idx->shape, (long long)idx->bytes);
    return true;
}

/* Classes in range and finite numbers. */
static bool check_values(const Idx *idx, const DlrtPort *port, const Block *block) {
    bool whole = idx->type->type != NUMBER_F32 && idx->type->type != NUMBER_F64;
    Place place = {.path = idx->path};
    if (!port->classes && whole) return true;
    double *row = pool_take(&idx->loader->pool, block->elements, sizeof *row);
    if (!row) return error_memory(idx->loader->error, "a row");
    for (int64_t i = 0; i < block->rows; i++) {
        block_row(block, i, row);
        for (int64_t e = 0; e < block->elements; e++) {
            if (!isfinite(row[e]))
                return error_set(idx->loader->error, place,
                                 "example %lld has a value that is not a finite number",
                                 (long long)i + 1);
            bool good = row[e] >= 0 && row[e] < (double)port->classes && row[e] == floor(row[e]);
            if (port->classes && !good)
                return error_set(idx->loader->error, place,
                                 "example %lld has class %g, but `%s` takes classes 0 to %lld",
                                 (long long)i + 1, row[e], port->name,
                                 (long long)port->classes - 1);
        }
    }
    return true;
}

static bool read_port(Loader *loader, const char *file, const DlrtPort *port, Block *block) {
    Idx idx = {.loader = loader};
    Bytes bytes;
    idx.path = file_find(&loader->pool, loader->spec, loader->path, file, loader->error);
    if (!idx.path) return false;
    if (!file_read(&loader->pool, idx.path, HEADER_LIMIT, &bytes, loader->error)) return false;
    if (!read_header(&idx, &bytes) || !check_shape(&idx, port)) return false;
    size_t whole = (size_t)(idx.header_bytes + idx.bytes);
    Pool *pool = reader_pool(loader, idx.type->type);
    if (!file_read(pool, idx.path, whole + 1, &bytes, loader->error)) return false;
    if (!check_size(&idx, &bytes)) return false;
    *block = (Block){.type = idx.type->type,
                     .path = idx.path,
                     .rows = idx.rows,
                     .elements = idx.elements,
                     .step = idx.elements,
                     .values = bytes.data + idx.header_bytes};
    return check_values(&idx, port, block);
}

bool idx_read(Loader *loader, SourceRows *source) {
    uint32_t first = 0;
    const char **files = reader_port_files(loader, source);
    source->blocks = pool_take(&loader->pool, loader->nports, sizeof *source->blocks);
    if (!files) return false;
    if (!source->blocks) return error_memory(loader->error, "a source");
    for (uint32_t i = 0; i < loader->nports; i++) {
        Block *block = &source->blocks[i];
        if (!read_port(loader, files[i], loader->ports[i], block)) return false;
        if (block->rows != source->blocks[first].rows)
            return error_set(loader->error, (Place){.path = block->path},
                             "%lld examples here, but %lld in %s", (long long)block->rows,
                             (long long)source->blocks[first].rows, source->blocks[first].path);
    }
    if (loader->nports) source->rows = source->blocks[0].rows;
    return true;
}
