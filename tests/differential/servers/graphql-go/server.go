// Documents on graphql-go/graphql.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/graphql-go/graphql"
	"github.com/graphql-go/graphql/language/ast"
	"github.com/graphql-go/graphql/language/parser"
)

var ran []string

func label(kind, name string, isRoot, isComposite bool) []string {
	switch {
	case name == "__schema" || name == "__type":
		return []string{name}
	case !isRoot && !isComposite:
		return nil
	case !isRoot:
		return []string{"." + name}
	case kind == "Mutation":
		return []string{"mutation." + name}
	}
	return []string{name}
}

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
		ran = append(ran, label(info.ParentType.Name(), info.FieldName, info.Path.Prev == nil, isComposite)...)
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
			ran = append(ran, field.Name)
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
				found = append(found, label(kind, selection.Name.Value, isRoot, selection.SelectionSet != nil)...)
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
	http.HandleFunc("/documents", func(writer http.ResponseWriter, request *http.Request) {
		var documents []struct{ Query, OperationName string }
		if err := json.NewDecoder(request.Body).Decode(&documents); err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		answers := make([]string, len(documents))
		for i, asked := range documents {
			tree, err := parser.Parse(parser.ParseParams{Source: asked.Query})
			if err != nil {
				continue
			}
			if !graphql.ValidateDocument(&schema, tree, nil).IsValid {
				answers[i] = strings.Join(append([]string{"read"}, read(tree, asked.OperationName)...), " ")
				continue
			}
			ran = []string{"ran"}
			graphql.Execute(graphql.ExecuteParams{Schema: schema, AST: tree, OperationName: asked.OperationName})
			answers[i] = strings.Join(ran, " ")
		}
		json.NewEncoder(writer).Encode(answers)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
