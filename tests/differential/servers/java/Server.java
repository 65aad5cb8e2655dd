package latchkey;

/** Server NAME PORT. */
public final class Server {
    private Server() {}

    public static void main(String[] arguments) {
        String port = arguments[1];
        switch (arguments[0]) {
            case "jersey" -> Jersey.main(port);
            case "webflux" -> Webflux.main(port);
            default -> Spring.main(arguments[0], port);
        }
    }
}
