/* runtime/fields.c: the fields of a table as numbers.
 *
 * in: a table, the mappings of its ports, the numbered texts
 * out: a block per port; a missing value is NaN where a later step fills it or leaves its row out
 */
#include "runtime/columns.h"

#include <math.h>
#include <string.h>
#include <strings.h>

typedef struct Fill {
    Columns *columns;
    const Table *table;
    uint32_t port;
    int64_t row, column;
    char **fields;
} Fill;

static bool fail_missing(const Fill *fill) {
    Loader *loader = fill->columns->loader;
    const char *text = fill->fields[fill->column];
    const DlrtPort *port = loader->ports[fill->port];
    bool classes = port->classes && loader->spec->missing != DLRT_MISSING_ERROR;
    return error_set(loader->error, table_place(fill->table, fill->row, fill->column),
                     "%s has no value here (%s%s%s)%s",
                     table_column(fill->table, fill->column).text, text[0] ? "`" : "it is empty",
                     text[0] ? error_quote(text).text : "", text[0] ? "`" : "",
                     classes ? ", and a class cannot be made up: say `missing skip`"
                             : "; say what to do: `missing skip`, mean, median or a number");
}

static bool fail_number(const Fill *fill, NumberKind kind) {
    const char *text = fill->fields[fill->column], *why = "is not a number";
    const char *help = "; a text column goes in with onehot(...), or choose others with `from`";
    bool first = fill->row == 0 && !fill->table->names;
    if (kind == NUMBER_TOO_LARGE) why = "is too large for a number", help = "";
    if (strpbrk(text, "0123456789")) help = "";
    const char *unsigned_text = text + (text[0] == '-' || text[0] == '+');
    if (strcasecmp(unsigned_text, "inf") == 0 || strcasecmp(unsigned_text, "infinity") == 0)
        why = "is not a finite number", help = "";
    if (strchr(text, ',')) help = "; decimals are written with a point";
    if (first && kind == NUMBER_NOT) help = "; if this row is a header, say header: true";
    return error_set(fill->columns->loader->error,
                     table_place(fill->table, fill->row, fill->column), "`%s` in %s %s%s",
                     error_quote(text).text, table_column(fill->table, fill->column).text, why,
                     help);
}

/* What a missing value becomes for now. */
static bool put_missing(const Fill *fill, double *values, int64_t n) {
    const DlrtDataSpec *spec = fill->columns->loader->spec;
    const DlrtPort *port = fill->columns->loader->ports[fill->port];
    double value = NAN;
    bool lacks = loader_may_lack(fill->columns->loader, fill->port);
    switch (lacks ? DLRT_MISSING_SKIP : spec->missing) {
    case DLRT_MISSING_ERROR: return fail_missing(fill);
    case DLRT_MISSING_SKIP: break;
    case DLRT_MISSING_MEAN:
    case DLRT_MISSING_MEDIAN:
        if (port->classes) return fail_missing(fill);
        if (n > 1) value = 0; /* none of the texts */
        break;
    case DLRT_MISSING_NUMBER:
        if (port->classes) return fail_missing(fill);
        value = n > 1 ? 0 : spec->missing_number;
        break;
    }
    for (int64_t i = 0; i < n; i++) values[i] = value;
    return true;
}

/* The weights were trained before, on data without this. */
static bool fail_unknown(const Fill *fill, const Texts *known) {
    char list[400] = "";
    size_t used = 0;
    for (int64_t k = 0; k < known->count && used + 100 < sizeof list; k++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", k ? ", " : ": ",
                                 error_quote(known->items[k]).text);
    return error_set(fill->columns->loader->error,
                     table_place(fill->table, fill->row, fill->column),
                     "`%s` in %s does not occur in the data that the weights were trained on%s",
                     error_quote(fill->fields[fill->column]).text,
                     table_column(fill->table, fill->column).text, list);
}

static bool put_class(const Fill *fill, const Codes *codes, double *value) {
    const char *text = fill->fields[fill->column];
    if (number_is_missing(text)) return put_missing(fill, value, 1);
    bool number = number_parse(text, value) == NUMBER_FINITE && *value == floor(*value);
    if (codes->direct) {
        double classes = (double)fill->columns->loader->ports[fill->port]->classes;
        bool known = number && *value >= 0 && *value < classes;
        return known || fail_unknown(fill, &codes->classes);
    }
    Quoted whole;
    if (codes->whole && number && fabs(*value) <= 1e15) {
        whole = classes_whole(*value);
        text = whole.text;
    }
    *value = (double)texts_find(&codes->classes, text);
    return *value >= 0 || fail_unknown(fill, &codes->classes);
}

static bool put_number(const Fill *fill, double *value) {
    const char *text = fill->fields[fill->column];
    NumberKind kind = number_parse(text, value);
    if (kind == NUMBER_FINITE) return true;
    if (number_is_missing(text)) return put_missing(fill, value, 1);
    return fail_number(fill, kind);
}

static bool put_set(const Fill *fill, const Texts *set, double *values) {
    const char *text = fill->fields[fill->column];
    memset(values, 0, (size_t)set->count * sizeof *values);
    if (number_is_missing(text)) {
        if (set->count > 1) return put_missing(fill, values, set->count);
        /* One text or none: as a column of several would be. */
        double unused[2] = {0};
        bool good = put_missing(fill, unused, 2);
        if (set->count) values[0] = unused[0];
        return good;
    }
    int64_t k = texts_find(set, text);
    if (k < 0) return fail_unknown(fill, set);
    values[k] = 1;
    return true;
}

/* One row of one port. */
static bool fill_row(Fill *fill, const Mapping *mapping, double *values) {
    const Codes *codes = &fill->columns->codes[fill->port];
    bool classes = fill->columns->loader->ports[fill->port]->classes > 0;
    if (mapping->count == 0)
        for (int64_t e = 0; e < fill->columns->loader->ports[fill->port]->elements; e++)
            values[e] = NAN;
    for (int64_t i = 0; i < mapping->count; i++) {
        const Item *item = &mapping->items[i];
        fill->column = item->column;
        if (item->set >= 0) {
            const Texts *set = &codes->sets[item->set];
            if (!put_set(fill, set, values)) return false;
            values += set->count;
            continue;
        }
        if (!(classes ? put_class(fill, codes, values) : put_number(fill, values))) return false;
        values++;
    }
    return true;
}

/* The columns of a port must give as many numbers as it takes. */
static bool check_width(const Columns *columns, const Table *table, const Mapping *mapping,
                        uint32_t port) {
    const Loader *loader = columns->loader;
    const Codes *codes = &columns->codes[port];
    if (mapping->count == 0 && loader_may_lack(loader, port)) return true;
    int64_t width = 0;
    char text[400] = "";
    size_t used = 0;
    for (int64_t i = 0; i < mapping->count; i++) {
        const Item *item = &mapping->items[i];
        width += item->set < 0 ? 1 : codes->sets[item->set].count;
        if (item->set < 0 || used >= sizeof text) continue;
        int n = snprintf(text + used, sizeof text - used, "%s%s as one of %lld texts",
                         used ? ", " : " (", table_column(table, item->column).text,
                         (long long)codes->sets[item->set].count);
        used += n > 0 ? (size_t)n : 0;
    }
    if (width == loader->ports[port]->elements) return true;
    return error_set(loader->error, (Place){.path = table->path},
                     "the columns of `%s` give %lld number%s%s%s, but it takes %lld",
                     loader->ports[port]->name, (long long)width, width == 1 ? "" : "s", text,
                     used ? ")" : "", (long long)loader->ports[port]->elements);
}

bool columns_fill(Columns *columns, uint32_t index) {
    Loader *loader = columns->loader;
    SourceRows *source = &loader->sources[index];
    const Mapping *mappings = &columns->mappings[index * loader->nports];
    Fill fill = {.columns = columns, .table = source->table};
    fill.fields = pool_take(&loader->pool, source->table->columns, sizeof *fill.fields);
    source->blocks = pool_take(&loader->pool, loader->nports, sizeof *source->blocks);
    if (!fill.fields || !source->blocks) return error_memory(loader->error, "a table");
    for (uint32_t p = 0; p < loader->nports; p++) {
        if (!check_width(columns, source->table, &mappings[p], p)) return false;
        int64_t elements = loader->ports[p]->elements;
        double *values =
            pool_take(&loader->pool, size_product(source->rows, elements), sizeof *values);
        if (!values) return error_memory(loader->error, "the numbers of a table");
        source->blocks[p] =
            (Block){NUMBER_NATIVE, source->table->path, source->rows, elements, elements, values};
    }
    for (fill.row = 0; fill.row < source->rows; fill.row++) {
        table_row(source->table, fill.row, fill.fields);
        for (fill.port = 0; fill.port < loader->nports; fill.port++) {
            Block *block = &source->blocks[fill.port];
            double *values = (double *)block->values + fill.row * block->elements;
            if (!fill_row(&fill, &mappings[fill.port], values)) return false;
        }
    }
    return true;
}
