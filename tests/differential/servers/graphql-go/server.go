// Documents on graphql-go/graphql.
package main

import (
	"log"
	"strings"

	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/parser"
	"github.com/graphql-go/handler"

	"latchkey/documents"
)

// The schema of schema.graphql, which this library cannot read.
func newSchema() (graphql.Schema, error) {
	input := graphql.NewInputObject(graphql.InputObjectConfig{Name: "Input", Fields: graphql.InputObjectConfigFieldMap{
		"s": {Type: graphql.String},
		"l": {Type: graphql.NewList(graphql.String)},
	}})
	input.AddFieldConfig("o", &graphql.InputObjectFieldConfig{Type: input})
	values := graphql.EnumValueConfigMap{}
	for _, name := range []string{"ok", "ok2", "secret", "secret2", "z"} {
		values[name] = &graphql.EnumValueConfig{Value: name}
	}
	arguments := graphql.FieldConfigArgument{
		"s": {Type: graphql.String},
		"l": {Type: graphql.NewList(graphql.String)},
		"i": {Type: graphql.Int},
		"f": {Type: graphql.Float},
		"b": {Type: graphql.Boolean},
		"o": {Type: input},
		"e": {Type: graphql.NewEnum(graphql.EnumConfig{Name: "Choice", Values: values})},
	}
	resolve := func(parameters graphql.ResolveParams) (any, error) {
		info := parameters.Info
		isComposite := graphql.IsCompositeType(info.ReturnType)
		documents.Record(info.ParentType.Name(), info.FieldName, info.Path.Prev == nil, isComposite)
		return map[string]any{}, nil
	}
	query := graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{}})
	mutation := graphql.NewObject(graphql.ObjectConfig{Name: "Mutation", Fields: graphql.Fields{}})
	item := graphql.NewObject(graphql.ObjectConfig{Name: "Item", Fields: graphql.Fields{
		"id":   {Type: graphql.ID, Resolve: resolve},
		"name": {Type: graphql.String, Resolve: resolve},
	}})
	for _, object := range []*graphql.Object{query, mutation, item} {
		object.AddFieldConfig("q", &graphql.Field{Type: query, Resolve: resolve})
		for _, name := range []string{"ok", "secret"} {
			object.AddFieldConfig(name, &graphql.Field{Type: item, Args: arguments, Resolve: resolve})
			if object != item {
				object.AddFieldConfig(name+"2", &graphql.Field{Type: graphql.String, Args: arguments, Resolve: resolve})
			}
		}
	}
	for _, field := range []*graphql.FieldDefinition{graphql.SchemaMetaFieldDef, graphql.TypeMetaFieldDef} {
		original := field.Resolve
		field.Resolve = func(parameters graphql.ResolveParams) (any, error) {
			documents.Record("", field.Name, false, false)
			return original(parameters)
		}
	}
	return graphql.NewSchema(graphql.SchemaConfig{Query: query, Mutation: mutation})
}

// The fields that stand in the operation, for a document that does not validate.
func read(tree *ast.Document, operationName string) (found []string) {
	fragments := map[string]*ast.FragmentDefinition{}
	for _, definition := range tree.Definitions {
		if fragment, is := definition.(*ast.FragmentDefinition); is {
			fragments[fragment.Name.Value] = fragment
		}
	}
	var collect func(set *ast.SelectionSet, kind string, isRoot bool, spread string)
	collect = func(set *ast.SelectionSet, kind string, isRoot bool, spread string) {
		if set == nil {
			return
		}
		for _, selection := range set.Selections {
			switch selection := selection.(type) {
			case *ast.Field:
				found = append(found, documents.Label(kind, selection.Name.Value, isRoot, selection.SelectionSet != nil)...)
				collect(selection.SelectionSet, kind, false, spread)
			case *ast.InlineFragment:
				collect(selection.SelectionSet, kind, isRoot, spread)
			case *ast.FragmentSpread:
				name := selection.Name.Value
				if fragment := fragments[name]; fragment != nil && !strings.Contains(spread, " "+name+" ") {
					collect(fragment.SelectionSet, kind, isRoot, spread+" "+name+" ")
				}
			}
		}
	}
	for _, definition := range tree.Definitions {
		operation, is := definition.(*ast.OperationDefinition)
		if !is || operationName != "" && (operation.Name == nil || operation.Name.Value != operationName) {
			continue
		}
		kind := "Query"
		if operation.Operation == ast.OperationTypeMutation {
			kind = "Mutation"
		}
		collect(operation.SelectionSet, kind, true, "")
	}
	return found
}

func main() {
	schema, err := newSchema()
	if err != nil {
		log.Fatal(err)
	}
	judge := func(asked documents.Document) string {
		tree, err := parser.Parse(parser.ParseParams{Source: asked.Query})
		if err != nil {
			return ""
		}
		if !graphql.ValidateDocument(&schema, tree, nil).IsValid {
			return documents.Said("read", read(tree, asked.OperationName))
		}
		graphql.Execute(graphql.ExecuteParams{Schema: schema, AST: tree, OperationName: asked.OperationName})
		return documents.Said("ran", documents.Ran())
	}
	documents.Serve(judge, handler.New(&handler.Config{Schema: &schema}))
}
