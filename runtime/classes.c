/* runtime/classes.c: classes and one-hot numbers from the texts of columns.
 *
 * in: tables and mappings     out: for each port, its distinct texts in sorted order
 *
 * A class(K) port takes whole numbers in 0..K-1 as they are. Otherwise the distinct whole numbers,
 * by value, or the distinct texts, by bytes, become the classes 0, 1, …; there may not be more than
 * K of them. All tables are looked at together, so that every part numbers alike; and where the
 * weights were trained before, all is numbered as it was then.
 */
#include "runtime/columns.h"

#include <math.h>
#include <string.h>

/* A field of a port, while walking over all tables. */
typedef struct Field {
    const Table *table;
    int64_t row, column;
    const char *text;
    int set;
} Field;

typedef struct Walk {
    Columns *columns;
    uint32_t port;
    bool text, fraction; /* seen: a text; a number that is not whole */
    bool outside;        /* seen: a whole number outside of 0..K-1 */
    bool any;
    Field bad; /* the first fraction */
} Walk;

typedef bool Visit(Walk *walk, const Field *field);

/* Visits every field of the port that is not missing. */
static bool walk_fields(Walk *walk, Visit *visit) {
    Loader *loader = walk->columns->loader;
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        const Table *table = loader->sources[s].table;
        if (!table) continue;
        const Mapping *mapping = &walk->columns->mappings[s * loader->nports + walk->port];
        char **fields = pool_take(&loader->pool, table->columns, sizeof *fields);
        if (!fields) return error_memory(loader->error, "a row");
        for (int64_t row = 0; row < table->rows; row++) {
            table_row(table, row, fields);
            for (int64_t i = 0; i < mapping->count; i++) {
                const Item *item = &mapping->items[i];
                Field field = {table, row, item->column, fields[item->column], item->set};
                if (!number_is_missing(field.text) && !visit(walk, &field)) return false;
            }
        }
    }
    return true;
}

static bool visit_kind(Walk *walk, const Field *field) {
    double value;
    NumberKind kind = number_parse(field->text, &value);
    walk->any = true;
    if (kind == NUMBER_NOT) {
        walk->text = true;
    } else if (kind == NUMBER_TOO_LARGE || value != floor(value) || fabs(value) > 1e15) {
        if (!walk->fraction) walk->bad = *field;
        walk->fraction = true;
    } else if (value < 0 || value >= (double)walk->columns->loader->ports[walk->port]->classes) {
        walk->outside = true;
    }
    return true;
}

Quoted classes_whole(double value) {
    Quoted text;
    snprintf(text.text, sizeof text.text, "%.0f", value + 0.0); /* -0 becomes 0 */
    return text;
}

static bool visit_class(Walk *walk, const Field *field) {
    Loader *loader = walk->columns->loader;
    const DlrtPort *port = loader->ports[walk->port];
    Codes *codes = &walk->columns->codes[walk->port];
    const char *text = field->text;
    Quoted whole;
    double value;
    if (codes->whole) {
        number_parse(text, &value);
        whole = classes_whole(value);
        text = whole.text;
    }
    if (texts_find(&codes->classes, text) >= 0) return true;
    if (codes->classes.count == port->classes)
        return error_set(loader->error, table_place(field->table, field->row, field->column),
                         "`%s` in %s is one more class than `%s: class(%lld)` has%s",
                         error_quote(text).text, table_column(field->table, field->column).text,
                         port->name, (long long)port->classes,
                         codes->whole ? "" : "; is this the right column?");
    if (codes->whole) text = pool_text(&loader->pool, text);
    return (text && texts_add(&codes->classes, text) >= 0) ||
           error_memory(loader->error, "the names of classes");
}

static bool visit_set(Walk *walk, const Field *field) {
    Loader *loader = walk->columns->loader;
    if (field->set < 0) return true;
    Texts *set = &walk->columns->codes[walk->port].sets[field->set];
    return texts_add(set, field->text) >= 0 || error_memory(loader->error, "the texts of a column");
}

/* As the weights know them. */
static bool recall_classes(Columns *columns, uint32_t port) {
    Loader *loader = columns->loader;
    Codes *codes = &columns->codes[port];
    const char *name = loader->ports[port]->name;
    codes->whole = notes_have(loader->known, name, "numbers");
    if (!notes_texts(loader, name, codes->whole ? "numbers" : "classes", &codes->classes))
        return false;
    codes->direct = codes->classes.count == 0;
    return codes->classes.count <= loader->ports[port]->classes ||
           error_set(
               loader->error, (Place){0}, "the weights know %lld classes of `%s`, and it has %lld",
               (long long)codes->classes.count, name, (long long)loader->ports[port]->classes);
}

static bool number_classes(Columns *columns, uint32_t port) {
    Loader *loader = columns->loader;
    Codes *codes = &columns->codes[port];
    const char *name = loader->ports[port]->name;
    if (notes_have(loader->known, name, "classes") || notes_have(loader->known, name, "numbers"))
        return recall_classes(columns, port);
    Walk walk = {.columns = columns, .port = port};
    if (!walk_fields(&walk, visit_kind)) return false;
    if (!walk.any && loader_may_lack(loader, port)) return codes->direct = true;
    if (!walk.any)
        return error_set(loader->error, (Place){0}, "every value of `%s` is missing",
                         loader->ports[port]->name);
    if (walk.fraction && !walk.text)
        return error_set(
            loader->error, table_place(walk.bad.table, walk.bad.row, walk.bad.column),
            "`%s` in %s is not a class: `%s: class(%lld)` takes whole numbers or texts",
            error_quote(walk.bad.text).text, table_column(walk.bad.table, walk.bad.column).text,
            loader->ports[port]->name, (long long)loader->ports[port]->classes);
    codes->direct = !walk.text && !walk.outside;
    codes->whole = !walk.text && walk.outside;
    if (codes->direct) return true;
    return walk_fields(&walk, visit_class) && texts_order(&codes->classes, codes->whole);
}

/* "texts0" */
static Quoted set_name(int set) {
    Quoted name;
    snprintf(name.text, sizeof name.text, "texts%d", set);
    return name;
}

static bool number_sets(Columns *columns, uint32_t port, int nsets) {
    Loader *loader = columns->loader;
    Codes *codes = &columns->codes[port];
    Walk walk = {.columns = columns, .port = port};
    codes->sets = pool_take(&loader->pool, nsets, sizeof *codes->sets);
    if (!codes->sets) return error_memory(loader->error, "columns");
    for (int i = 0; i < nsets; i++) codes->sets[i].pool = &loader->pool;
    const char *name = loader->ports[port]->name;
    bool known = notes_have(loader->known, name, set_name(0).text);
    if (!known && !walk_fields(&walk, visit_set)) return false;
    for (int i = 0; i < nsets; i++) {
        Texts *set = &codes->sets[i];
        Quoted what = set_name(i);
        if (known && !notes_texts(loader, name, what.text, set)) return false;
        if (!known) texts_order(set, false);
        if (!notes_put_texts(loader, name, what.text, set->items, set->count)) return false;
    }
    return true;
}

bool classes_number(Columns *columns, uint32_t port) {
    Loader *loader = columns->loader;
    columns->codes[port].classes.pool = &loader->pool;
    if (loader->ports[port]->classes) return number_classes(columns, port);
    for (uint32_t s = 0; s < loader->spec->nsources; s++) {
        int nsets = columns->mappings[s * loader->nports + port].nsets;
        if (nsets) return number_sets(columns, port, nsets);
    }
    return true;
}

/* The data keeps the names when the pool of opening is gone. */
bool classes_keep(Columns *columns, uint32_t port) {
    Loader *loader = columns->loader;
    PortData *data = &loader->data->ports[port];
    const Texts *classes = &columns->codes[port].classes;
    bool whole = columns->codes[port].whole;
    if (loader->ports[port]->classes &&
        !notes_put_texts(loader, data->name, whole ? "numbers" : "classes", classes->items,
                         classes->count))
        return false;
    if (classes->count == 0) return true;
    data->texts = pool_take(&loader->data->pool, classes->count, sizeof *data->texts);
    if (!data->texts) return error_memory(loader->error, "the names of classes");
    for (int64_t i = 0; i < classes->count; i++) {
        data->texts[i] = pool_text(&loader->data->pool, classes->items[i]);
        if (!data->texts[i]) return error_memory(loader->error, "the names of classes");
    }
    data->ntexts = classes->count;
    return true;
}
