// Documents on graphql-java.

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.net.httpserver.HttpServer;
import graphql.ExecutionInput;
import graphql.ExecutionResult;
import graphql.GraphQL;
import graphql.execution.instrumentation.InstrumentationState;
import graphql.execution.instrumentation.SimplePerformantInstrumentation;
import graphql.execution.instrumentation.parameters.InstrumentationFieldFetchParameters;
import graphql.language.Document;
import graphql.language.Field;
import graphql.language.FragmentDefinition;
import graphql.language.FragmentSpread;
import graphql.language.InlineFragment;
import graphql.language.OperationDefinition;
import graphql.language.Selection;
import graphql.language.SelectionSet;
import graphql.parser.InvalidSyntaxException;
import graphql.parser.Parser;
import graphql.schema.DataFetcher;
import graphql.schema.DataFetchingEnvironment;
import graphql.schema.GraphQLFieldsContainer;
import graphql.schema.GraphQLSchema;
import graphql.schema.GraphQLTypeUtil;
import graphql.schema.idl.RuntimeWiring;
import graphql.schema.idl.SchemaGenerator;
import graphql.schema.idl.SchemaParser;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

public final class Server {
    private static final Set<String> ran = new LinkedHashSet<>();

    private static void add(Set<String> names, String type, String name, boolean isRoot, boolean isComposite) {
        if (name.equals("__schema") || name.equals("__type")) {
            names.add(name);
        } else if (!isRoot) {
            if (isComposite) names.add("." + name);
        } else {
            names.add(type.equals("Mutation") ? "mutation." + name : name);
        }
    }

    /** Sees every field that runs, introspection included. */
    private static final class Recorder extends SimplePerformantInstrumentation {
        @Override
        public DataFetcher<?> instrumentDataFetcher(
                DataFetcher<?> fetcher, InstrumentationFieldFetchParameters parameters, InstrumentationState state) {
            DataFetchingEnvironment environment = parameters.getEnvironment();
            String type = GraphQLTypeUtil.simplePrint(environment.getParentType());
            if (!type.startsWith("__")) {
                boolean isRoot = environment.getExecutionStepInfo().getPath().getLevel() == 1;
                boolean isComposite =
                        GraphQLTypeUtil.unwrapAll(environment.getFieldType()) instanceof GraphQLFieldsContainer;
                add(ran, type, environment.getField().getName(), isRoot, isComposite);
            }
            return fetcher;
        }
    }

    /** The fields that stand in the operation, for a document that does not validate. */
    private static Set<String> read(Document document, String operationName) {
        Set<String> names = new LinkedHashSet<>();
        Map<String, FragmentDefinition> fragments = new HashMap<>();
        for (FragmentDefinition fragment : document.getDefinitionsOfType(FragmentDefinition.class)) {
            fragments.put(fragment.getName(), fragment);
        }
        for (OperationDefinition operation : document.getDefinitionsOfType(OperationDefinition.class)) {
            if (operationName != null && !operationName.equals(operation.getName())) continue;
            boolean isMutation = operation.getOperation() == OperationDefinition.Operation.MUTATION;
            collect(operation.getSelectionSet(), isMutation ? "Mutation" : "Query", true, Set.of(), fragments, names);
        }
        return names;
    }

    private static void collect(
            SelectionSet set,
            String type,
            boolean isRoot,
            Set<String> spread,
            Map<String, FragmentDefinition> fragments,
            Set<String> names) {
        if (set == null) return;
        for (Selection<?> selection : set.getSelections()) {
            if (selection instanceof Field field) {
                add(names, type, field.getName(), isRoot, field.getSelectionSet() != null);
                collect(field.getSelectionSet(), type, false, spread, fragments, names);
            } else if (selection instanceof InlineFragment fragment) {
                collect(fragment.getSelectionSet(), type, isRoot, spread, fragments, names);
            } else if (selection instanceof FragmentSpread fragment && !spread.contains(fragment.getName())) {
                FragmentDefinition definition = fragments.get(fragment.getName());
                if (definition == null) continue;
                Set<String> inner = new LinkedHashSet<>(spread);
                inner.add(fragment.getName());
                collect(definition.getSelectionSet(), type, isRoot, inner, fragments, names);
            }
        }
    }

    private static String judge(GraphQL graphql, JsonObject asked) {
        String text = asked.get("query").getAsString();
        String operationName = asked.has("operationName") ? asked.get("operationName").getAsString() : null;
        ran.clear();
        ExecutionResult result =
                graphql.execute(ExecutionInput.newExecutionInput(text).operationName(operationName).build());
        if (!ran.isEmpty() || result.isDataPresent()) return "ran " + String.join(" ", ran);
        try {
            return "read " + String.join(" ", read(Parser.parse(text), operationName));
        } catch (InvalidSyntaxException error) {
            return "";
        }
    }

    public static void main(String[] arguments) throws Exception {
        DataFetcher<Object> fetcher = environment ->
                GraphQLTypeUtil.unwrapAll(environment.getFieldType()) instanceof GraphQLFieldsContainer ? Map.of() : "x";
        RuntimeWiring.Builder wiring = RuntimeWiring.newRuntimeWiring();
        for (String type : new String[] {"Query", "Mutation", "Item"}) {
            wiring.type(type, builder -> builder.defaultDataFetcher(fetcher));
        }
        String text = Files.readString(Path.of(arguments[1]));
        GraphQLSchema schema =
                new SchemaGenerator().makeExecutableSchema(new SchemaParser().parse(text), wiring.build());
        GraphQL graphql = GraphQL.newGraphQL(schema).instrumentation(new Recorder()).build();
        InetSocketAddress address =
                new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0]));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/documents", exchange -> {
            JsonArray answers = new JsonArray();
            String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            try {
                for (JsonElement asked : JsonParser.parseString(body).getAsJsonArray()) {
                    answers.add(judge(graphql, asked.getAsJsonObject()));
                }
            } catch (RuntimeException error) {
                error.printStackTrace();
                throw error;
            }
            byte[] answer = new Gson().toJson(answers).getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
    }
}
