// QuPath: segments the selected annotation (or the whole image) and adds the cells as annotations or detections.
// Set the lines below, select an annotation, then: Automate, Script editor, Run.
import java.awt.geom.AffineTransform
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObjectTools
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.ROIs

def python = "/path/to/cellpose-env/bin/python"
def pixelSize = 0.5        // micrometres at which the network sees the image
def diameter = "0"         // pixels at that size; 0: estimated
def form = "geojson-detections"  // or "geojson", for annotations that can be edited

def server = getCurrentServer()
def selected = getSelectedObject()
def roi = selected?.getROI() ?: ROIs.createRectangleROI(0, 0, server.getWidth(), server.getHeight())
def size = server.getPixelCalibration().getAveragedPixelSizeMicrons()
def downsample = Double.isNaN(size) ? 1.0 : Math.max(1.0, pixelSize / size)

def folder = File.createTempDir("cellpose")
def region = RegionRequest.createInstance(server.getPath(), downsample, roi)
def image = new File(folder, "region.tif")
writeImageRegion(server, region, image.getPath())

def run = { List<String> words ->
    def process = new ProcessBuilder([python, "-m", "cellpose"] + words).redirectErrorStream(true).start()
    process.inputStream.eachLine { println it }
    if (process.waitFor() != 0) throw new RuntimeException("cellpose failed, see the log above")
}
run(["--image_path", image.getPath(), "--diameter", diameter, "--save_tif", "--no_npy", "--verbose"])
run(["convert", folder.getPath(), "--to", form])

def written = folder.listFiles().find { it.name.endsWith(".geojson") }
def place = new AffineTransform(downsample, 0, 0, downsample, region.getX(), region.getY())
def cells = PathIO.readObjects(written).collect { PathObjectTools.transformObject(it, place, true) }
selected == null ? addObjects(cells) : selected.addChildObjects(cells)
fireHierarchyUpdate()
folder.deleteDir()
println "${cells.size()} cells"
