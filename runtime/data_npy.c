/* runtime/data_npy.c: NumPy arrays: one .npy file a port, or the members of a .npz file.
 *
 * in: the format of numpy.lib.format, versions 1 to 3: a magic, the length of a header, the header,
 *     which is a Python dictionary with `descr`, `fortran_order` and `shape`, and the values
 * out: a block per port; the first dimension counts the examples, the others make up the port
 *
 *     npy("x.npy", "y.npy")                          files in the order of inputs and targets
 *     npz("digits.npz", x: "x_train", y: "y_train")  members by name; the port's own if not said
 */
#include "runtime/private.h"

#include <math.h>
#include <string.h>

typedef struct Npy {
    Loader *loader;
    const char *path; /* for messages; with the member of a .npz behind it */
    const unsigned char *at, *end;
    char kind; /* 'f', 'i', 'u', 'b' */
    int size;
    bool big_endian, fortran;
    uint32_t rank;
    int64_t dims[32];
    int64_t rows, elements;
} Npy;

static bool fail(const Npy *npy, const char *message) {
    return error_set(npy->loader->error, (Place){.path = npy->path}, "%s", message);
}

/* ---- the header ------------------------------------------------------------------------------ */

static void skip_blanks(Npy *npy) {
    while (npy->at < npy->end && (*npy->at == ' ' || *npy->at == '\n' || *npy->at == '\t'))
        npy->at++;
}

static bool take(Npy *npy, char c) {
    skip_blanks(npy);
    if (npy->at == npy->end || *npy->at != (unsigned char)c) return false;
    npy->at++;
    return true;
}

/* A text in quotes, without escapes; false when there is none or it is too long. */
static bool take_text(Npy *npy, char *text, size_t size) {
    char quote = take(npy, '\'') ? '\'' : '"';
    size_t n = 0;
    if (quote == '"' && !take(npy, '"')) return false;
    while (npy->at < npy->end && *npy->at != (unsigned char)quote && n + 1 < size)
        text[n++] = (char)*npy->at++;
    text[n] = 0;
    return npy->at < npy->end && *npy->at++ == (unsigned char)quote;
}

static bool take_word(Npy *npy, const char *word) {
    size_t n = strlen(word);
    skip_blanks(npy);
    if ((size_t)(npy->end - npy->at) < n || memcmp(npy->at, word, n) != 0) return false;
    npy->at += n;
    return true;
}

static bool take_dim(Npy *npy, int64_t *dim) {
    skip_blanks(npy);
    const unsigned char *begin = npy->at;
    for (*dim = 0; npy->at < npy->end && *npy->at >= '0' && *npy->at <= '9'; npy->at++) {
        if (*dim > INT64_MAX / 16) return false;
        *dim = *dim * 10 + (*npy->at - '0');
    }
    return npy->at > begin;
}

/* (60000, 28, 28), (5,) or () */
static bool take_shape(Npy *npy) {
    if (!take(npy, '(')) return false;
    while (!take(npy, ')')) {
        if (npy->rank == sizeof npy->dims / sizeof *npy->dims) return false;
        if (!take_dim(npy, &npy->dims[npy->rank++])) return false;
        if (!take(npy, ',')) return take(npy, ')');
    }
    return true;
}

static bool read_type(Npy *npy, const char *text) {
    static const char *const known[] = {"b1", "i1", "i2", "i4", "i8", "u1",
                                        "u2", "u4", "u8", "f2", "f4", "f8"};
    bool ordered = text[0] && strchr("<>|=", text[0]);
    for (size_t i = 0; ordered && i < sizeof known / sizeof *known; i++) {
        if (strcmp(text + 1, known[i]) != 0) continue;
        npy->kind = known[i][0];
        npy->size = known[i][1] - '0';
        npy->big_endian = text[0] == '>';
        return true;
    }
    return error_set(npy->loader->error, (Place){.path = npy->path},
                     "this array has the type `%s`; known are bool, whole numbers of 1, 2, 4 and 8 "
                     "bytes and floats of 2, 4 and 8",
                     error_quote(text).text);
}

static bool read_dictionary(Npy *npy) {
    char key[32], type[32] = "";
    bool shape = false, order = false, good = take(npy, '{');
    while (good && !take(npy, '}')) {
        good = take_text(npy, key, sizeof key) && take(npy, ':');
        if (good && strcmp(key, "descr") == 0) {
            good = take_text(npy, type, sizeof type);
        } else if (good && strcmp(key, "fortran_order") == 0) {
            npy->fortran = take_word(npy, "True");
            good = order = npy->fortran || take_word(npy, "False");
        } else if (good && strcmp(key, "shape") == 0) {
            good = shape = !shape && take_shape(npy);
        } else {
            good = false;
        }
        if (good && !take(npy, ',')) {
            good = take(npy, '}');
            break;
        }
    }
    if (!good || !shape || !order)
        return fail(npy, "the header of this NumPy array is damaged: it wants descr, "
                         "fortran_order and shape, and descr a plain type");
    return read_type(npy, type);
}

static bool read_header(Npy *npy) {
    size_t size = (size_t)(npy->end - npy->at);
    const unsigned char *p = npy->at;
    if (size < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return fail(npy, "this is no NumPy array: it does not begin with \\x93NUMPY");
    bool is_long = p[6] >= 2;
    if (p[6] < 1 || p[6] > 3)
        return error_set(npy->loader->error, (Place){.path = npy->path},
                         "this NumPy array has the format version %d; known are 1, 2 and 3", p[6]);
    size_t begin = is_long ? 12 : 10, length = (size_t)p[8] | (size_t)p[9] << 8;
    if (is_long && size >= 12) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (size < begin || size - begin < length)
        return error_set(npy->loader->error, (Place){.path = npy->path},
                         "the file ends within its header: that takes %zu bytes, found %zu",
                         begin + length, size);
    const unsigned char *values = p + begin + length, *end = npy->end;
    npy->at = p + begin;
    npy->end = values;
    if (!read_dictionary(npy)) return false;
    npy->at = values;
    npy->end = end;
    return true;
}

/* ---- values ------------------------------------------------------------------------------------
 */

static Quoted shape_of(const Npy *npy) {
    Quoted text = {"one number"};
    size_t used = 0;
    for (uint32_t i = 0; i < npy->rank && used + 24 < sizeof text.text; i++)
        used += (size_t)snprintf(text.text + used, sizeof text.text - used, "%s%lld",
                                 i ? " x " : "", (long long)npy->dims[i]);
    return text;
}

static bool check_size(Npy *npy, const DlrtPort *port) {
    Place place = {.path = npy->path};
    DlrtError *error = npy->loader->error;
    npy->rows = npy->rank ? npy->dims[0] : 1;
    npy->elements = 1;
    for (uint32_t i = 1; i < npy->rank; i++)
        npy->elements = size_product(npy->elements, npy->dims[i]);
    int64_t bytes = size_product(size_product(npy->rows, npy->elements), npy->size);
    int64_t found = npy->end - npy->at;
    if (bytes < 0)
        return error_set(error, place, "the header says %s values, which is more than can be read",
                         shape_of(npy).text);
    if (npy->rows == 0)
        return error_set(error, place, "this array holds no examples (%s)", shape_of(npy).text);
    if (npy->elements != port->elements)
        return error_set(error, place,
                         "an example here has %lld number%s (the array is %s), but `%s` takes %lld "
                         "(%s)",
                         (long long)npy->elements, npy->elements == 1 ? "" : "s",
                         shape_of(npy).text, port->name, (long long)port->elements,
                         reader_shape(port).text);
    if (found != bytes)
        return error_set(error, place,
                         found < bytes ? "the file is cut off: %s values take %lld bytes, found "
                                         "%lld"
                                       : "the file is longer than its header says: %s values take "
                                         "%lld bytes, found %lld",
                         shape_of(npy).text, (long long)bytes, (long long)found);
    return true;
}

static double half_of(unsigned bits) {
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023, value;
    if (exponent == 31)
        value = fraction > 0 ? NAN : INFINITY;
    else
        value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits >> 15 ? -value : value;
}

/* The number at place `i` of the file. */
static double number_at(const Npy *npy, int64_t i) {
    const unsigned char *p = npy->at + i * npy->size;
    uint64_t bits = 0;
    for (int b = 0; b < npy->size; b++)
        bits |= (uint64_t)p[npy->big_endian ? npy->size - 1 - b : b] << (8 * b);
    if (npy->kind == 'f' && npy->size == 2) return half_of((unsigned)bits);
    if (npy->kind == 'f' && npy->size == 4) {
        float value;
        uint32_t low = (uint32_t)bits;
        memcpy(&value, &low, sizeof value);
        return value;
    }
    if (npy->kind == 'f') {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    if (npy->kind == 'i' && npy->size < 8 && bits >> (8 * npy->size - 1))
        bits |= UINT64_MAX << (8 * npy->size);
    return npy->kind == 'i' ? (double)(int64_t)bits : (double)bits;
}

/* Where in the file the element `e` of the row is, both in C order. */
static int64_t place_of(const Npy *npy, int64_t row, int64_t e) {
    if (!npy->fortran) return row * npy->elements + e;
    int64_t place = row, stride = npy->rows, rest = npy->elements;
    for (uint32_t d = 1; d < npy->rank; d++) {
        rest /= npy->dims[d];
        place += e / rest * stride;
        e %= rest;
        stride *= npy->dims[d];
    }
    return place;
}

static bool check_number(const Npy *npy, const DlrtPort *port, int64_t row, double value) {
    Place place = {.path = npy->path};
    bool is_class = value >= 0 && value < (double)port->classes && value == floor(value);
    if (!isfinite(value))
        return error_set(npy->loader->error, place,
                         "example %lld has a value that is not a finite number",
                         (long long)row + 1);
    return !port->classes || is_class ||
           error_set(npy->loader->error, place,
                     "example %lld has class %g, but `%s` takes classes 0 to %lld",
                     (long long)row + 1, value, port->name, (long long)port->classes - 1);
}

/* The usual array, floats of this machine in C order: number by number it would take as long as
 * compiling a small model. False where it is another, or one of them is not finite. */
static bool copy_floats(const Npy *npy, const DlrtPort *port, int64_t count, double *values) {
    const uint16_t one = 1;
    bool is_little = *(const unsigned char *)&one == 1;
    if (npy->kind != 'f' || npy->size != 4 || npy->fortran || port->classes) return false;
    if (npy->big_endian == is_little) return false;
    float none = 0;
    for (int64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, npy->at + i * (int64_t)sizeof value, sizeof value);
        none += value * 0; /* not a number from the first on that is not finite */
        values[i] = value;
    }
    return none == 0;
}

/* Bytes stay bytes; other numbers become doubles until they are what the model wants. */
static bool read_values(Npy *npy, const DlrtPort *port, Block *block) {
    bool bytes = npy->size == 1 && npy->kind != 'i';
    NumberType type = bytes ? NUMBER_U8 : NUMBER_NATIVE;
    int64_t count = size_product(npy->rows, npy->elements);
    void *values = pool_take(reader_pool(npy->loader, type), count, bytes ? 1 : sizeof(double));
    if (!values) return error_memory(npy->loader->error, "the values of an array");
    *block = (Block){type, npy->path, npy->rows, npy->elements, npy->elements, values};
    if (copy_floats(npy, port, count, values)) return true;
    for (int64_t row = 0; row < npy->rows; row++)
        for (int64_t e = 0; e < npy->elements; e++) {
            double value = number_at(npy, place_of(npy, row, e));
            int64_t at = row * npy->elements + e;
            if (!check_number(npy, port, row, value)) return false;
            if (bytes)
                ((unsigned char *)values)[at] = (unsigned char)value;
            else
                ((double *)values)[at] = value;
        }
    return true;
}

static bool read_array(Loader *loader, const char *path, const Bytes *bytes, const DlrtPort *port,
                       Block *block) {
    Npy npy = {.loader = loader, .path = path, .at = bytes->data};
    npy.end = bytes->data + bytes->size;
    return read_header(&npy) && check_size(&npy, port) && read_values(&npy, port, block);
}

/* ---- the readers
 * --------------------------------------------------------------------------------- */

static bool same_count(Loader *loader, SourceRows *source) {
    for (uint32_t i = 1; i < loader->nports; i++)
        if (source->blocks[i].rows != source->blocks[0].rows)
            return error_set(loader->error, (Place){.path = source->blocks[i].path},
                             "%lld examples here, but %lld in %s",
                             (long long)source->blocks[i].rows, (long long)source->blocks[0].rows,
                             source->blocks[0].path);
    source->rows = loader->nports ? source->blocks[0].rows : 0;
    return true;
}

bool npy_read(Loader *loader, SourceRows *source) {
    const char **files = reader_port_files(loader, source);
    source->blocks = pool_take(&loader->pool, loader->nports, sizeof *source->blocks);
    if (!files) return false;
    if (!source->blocks) return error_memory(loader->error, "a source");
    for (uint32_t i = 0; i < loader->nports; i++) {
        Bytes bytes;
        const char *path =
            file_find(&loader->pool, loader->spec, loader->path, files[i], loader->error);
        if (!path || !file_read(&loader->pool, path, SIZE_MAX / 4, &bytes, loader->error))
            return false;
        if (!read_array(loader, path, &bytes, loader->ports[i], &source->blocks[i])) return false;
    }
    return same_count(loader, source);
}

bool npz_read(Loader *loader, SourceRows *source) {
    uint32_t files;
    const char *path;
    Bytes archive;
    for (uint32_t i = 0; i < source->spec->nargs; i++) {
        const DlrtArgument *argument = &source->spec->args[i];
        if (!argument->name) continue;
        if (loader_find_port(loader, argument->name) < 0 || argument->kind != DLRT_STRING)
            return error_set(loader->error, (Place){0},
                             "npz: `%s` wants to be an input or target of the model, with the name "
                             "of its array in quotes: npz(\"file.npz\", x: \"x_train\")",
                             argument->name);
    }
    if (!reader_files(loader, source, &path, 1, &files)) return false;
    if (!file_read_plain(&loader->pool, path, &archive, loader->error)) return false;
    source->blocks = pool_take(&loader->pool, loader->nports, sizeof *source->blocks);
    if (!source->blocks) return error_memory(loader->error, "a source");
    for (uint32_t i = 0; i < loader->nports; i++) {
        const DlrtPort *port = loader->ports[i];
        const DlrtArgument *argument = reader_setting(source, port->name);
        const char *name = argument ? argument->string : port->name;
        Bytes bytes;
        char *member = pool_take(&loader->pool, (int64_t)(strlen(path) + strlen(name) + 4), 1);
        if (!member) return error_memory(loader->error, "a source");
        sprintf(member, "%s[%s]", path, name);
        if (!zip_member(loader, path, &archive, name, ".npy", &bytes)) return false;
        if (!read_array(loader, member, &bytes, port, &source->blocks[i])) return false;
    }
    return same_count(loader, source);
}
