using System.Globalization;
using Agent.Fleet.Control;
using Agent.Fleet.Measuring;
using Agent.Fleet.Store;

// sg-fleet measure [--agents 10,100] [--real N] [--rounds N] [--churn PER_SECOND] [--churn-seconds N] --out FILE
//   starts etcd, agents and controllers, measures, writes a page with charts
// sg-fleet control --etcd SOCKET --name NAME
//   one replica of the controller, until its standard input ends
Dictionary<string, string> options = args.Skip(1).Chunk(2).ToDictionary(pair => pair[0], pair => pair[^1]);
switch (args.FirstOrDefault())
{
    case "measure": await MeasureAsync(); break;
    case "control": await ControlAsync(); break;
    default:
        Console.Error.WriteLine("sg-fleet measure --out FILE, or sg-fleet control --etcd SOCKET --name NAME");
        return 2;
}

return 0;

async Task MeasureAsync()
{
    var extent = new Extent();
    extent = extent with
    {
        Sizes = options.TryGetValue("--agents", out string? sizes)
            ? [.. sizes.Split(',').Select(Number)] : extent.Sizes,
        Real = Option("--real", extent.Real),
        Rounds = Option("--rounds", extent.Rounds),
        ChurnPerSecond = Option("--churn", extent.ChurnPerSecond),
        ChurnTime = TimeSpan.FromSeconds(Option("--churn-seconds", (int)extent.ChurnTime.TotalSeconds)),
    };
    IReadOnlyList<Figures> all = await new Measurement(extent, Console.WriteLine).RunAsync();
    Report.Write(options["--out"], extent, all, options.GetValueOrDefault("--commit", "unknown"));
}

async Task ControlAsync()
{
    using var stop = new CancellationTokenSource();
    using var store = new EtcdStore(options["--etcd"]);
    Task running = new Controller(store, options["--name"], Console.WriteLine).RunAsync(stop.Token);
    await Task.WhenAny(running, Console.In.ReadToEndAsync());
    await stop.CancelAsync();
    await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
}

int Option(string name, int usual) => options.TryGetValue(name, out string? said) ? Number(said) : usual;

static int Number(string text) => int.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture);
